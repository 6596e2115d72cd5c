"""OpenTelemetry's SDK with exporters in memory, for tests of spans and metrics."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import get_current_span
from sqlalchemy.engine import URL

from axon_storage.dialects import Dialect


class Spans(SpanProcessor):
    """Keeps every span: ``ended`` in the order of their ends; ``open`` has the ids of those that have not ended."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []
        self.open: set[int] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del parent_context
        self.open.add(id_of(span))

    def on_end(self, span: ReadableSpan) -> None:
        self.open.discard(id_of(span))
        self.ended.append(span)


class Telemetry:
    """A tracer provider and a meter provider, and what they have received."""

    def __init__(self) -> None:
        self.spans, self._reader = Spans(), InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(self.spans)
        self.meter_provider = MeterProvider([self._reader])

    @property
    def options(self) -> dict[str, Any]:
        """The options of a storage."""
        return {"tracer_provider": self.tracer_provider, "meter_provider": self.meter_provider}

    def clear(self) -> None:
        """Forget the spans."""
        self.spans.ended.clear()

    def named(self, operation: str) -> list[ReadableSpan]:
        """Return the spans of an operation."""
        return [span for span in self.spans.ended if attributes_of(span)["db.operation.name"] == operation]

    def group_commits(self) -> list[ReadableSpan]:
        """Return the spans of group commits."""
        return [span for span in self.spans.ended if str(attributes_of(span)["db.operation.name"]).startswith("BATCH")]

    def points(self, metric: str) -> list[tuple[dict[str, Any], Any]]:
        """Return the attributes and the data of each series of a metric."""
        found = self._reader.get_metrics_data()
        if found is None:
            return []
        return [
            (dict(point.attributes or {}), point)
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]

    def total(self, metric: str, **where: Any) -> Any:
        """Return the sum of the values, or the counts of a histogram, of the series with these attributes."""
        wanted = {name.replace("__", "."): value for name, value in where.items()}
        points = [point for attributes, point in self.points(metric) if wanted.items() <= attributes.items()]
        return sum([getattr(point, "value", None) or getattr(point, "count", 0) for point in points])


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return the attributes of a span."""
    return span.attributes or {}


def id_of(span: ReadableSpan) -> int:
    """Return the id of a span."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent."""
    return None if span.parent is None else span.parent.span_id


def current() -> int:
    """Return the id of the span that is current here; 0 if there is none."""
    return get_current_span().get_span_context().span_id


def database_attributes(dialect: Dialect, url: URL) -> dict[str, Any]:
    """Return the attributes that each span of a database has, as the conventions define them."""
    found: dict[str, Any] = {"db.system.name": SYSTEMS[dialect.title]}
    if dialect.title == "Oracle":
        found |= {"oracle.db.service": url.query["service_name"]} if "service_name" in url.query else {}
    else:
        found |= {"db.namespace": url.database}
    if dialect.title != "SQLite":
        found |= {"server.address": url.host}
        found |= {"server.port": url.port} if url.port not in {None, PORTS[dialect.title]} else {}
    return found


SYSTEMS = {
    "SQLite": "sqlite",
    "PostgreSQL": "postgresql",
    "MySQL": "mysql",
    "MariaDB": "mariadb",
    "Oracle": "oracle.db",
}
PORTS = {"PostgreSQL": 5432, "MySQL": 3306, "MariaDB": 3306, "Oracle": 1521}
