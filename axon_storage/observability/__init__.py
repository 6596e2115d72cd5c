"""What an operator sees: spans and metrics of OpenTelemetry, and a log of slow calls. Imported by the storage alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, TypedDict

from axon_storage.engine.observer import Observer
from axon_storage.errors import InvalidArgumentError
from axon_storage.observability.providers import meter_provider_in_use, tracer_provider_in_use
from axon_storage.observability.slow_calls import SlowCalls
from axon_storage.observability.source import Source

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


class ObservabilityOptions(TypedDict, total=False):
    """Options for what an operator sees. None of them changes what is stored."""

    tracer_provider: "TracerProvider | None"
    """OpenTelemetry's provider of spans. Default: None, the global one, if it is set when the storage is opened."""

    meter_provider: "MeterProvider | None"
    """OpenTelemetry's provider of metrics. Default: None, the global one, if it is set when the storage is opened."""

    tenant_in_spans: bool
    """Whether the span of a call has its tenant, as ``axon_storage.tenant``. Default: False."""

    slow_call_seconds: float | None
    """Log a warning for each call that takes so long, with where the time went. Default: None, which logs none."""


@dataclass(frozen=True, kw_only=True)
class Observability:
    """The checked values of :class:`ObservabilityOptions`."""

    tracer_provider: "TracerProvider | None" = None
    meter_provider: "MeterProvider | None" = None
    tenant_in_spans: bool = False
    slow_call_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, method in {"tracer_provider": "get_tracer", "meter_provider": "get_meter"}.items():
            provider = getattr(self, name)
            if provider is not None and not callable(getattr(provider, method, None)):
                raise InvalidArgumentError(f"{name} must be a provider of OpenTelemetry, with a method {method}()")
        seconds = self.slow_call_seconds
        if seconds is not None and not 0 < seconds < inf:
            raise InvalidArgumentError("slow_call_seconds must be more than 0 seconds, and finite, or None")


def observers_of(source: Source, options: Observability) -> Sequence[Observer]:
    """Return the observers that a storage needs; without a provider and without ``slow_call_seconds`` none."""
    observers: list[Observer] = []
    if (tracers := tracer_provider_in_use(options.tracer_provider)) is not None:
        from axon_storage.observability.tracing import Tracing  # noqa: PLC0415  # imports OpenTelemetry

        observers.append(Tracing(tracers, source, with_tenant=options.tenant_in_spans))
    if (meters := meter_provider_in_use(options.meter_provider)) is not None:
        from axon_storage.observability.metrics import Metrics  # noqa: PLC0415  # imports OpenTelemetry

        observers.append(Metrics(meters, source))
    if options.slow_call_seconds is not None:
        observers.append(SlowCalls(options.slow_call_seconds))
    return tuple(observers)
