"""Telemetry: names, providers, options, what is imported, and what is logged by default."""

import asyncio
import logging
import subprocess
import sys
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider, get_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.semconv import schemas
from opentelemetry.semconv._incubating.attributes import db_attributes, oracle_attributes
from opentelemetry.semconv._incubating.metrics import db_metrics
from opentelemetry.semconv.attributes import db_attributes as stable_attributes
from opentelemetry.semconv.attributes import error_attributes, server_attributes
from opentelemetry.semconv.metrics import db_metrics as stable_metrics
from opentelemetry.trace import NoOpTracerProvider, get_tracer_provider

from axon_storage import EventRow, InvalidArgumentError, SqlRepository, TraceRow, create_engine, open_storage
from axon_storage.dialects import DIALECTS, dialect_of
from axon_storage.dialects.mysql import MariaDB
from axon_storage.observability import names
from axon_storage.observability.providers import meter_provider_in_use, tracer_provider_in_use
from axon_storage.testing.samples import sample
from tests.telemetry import Spans

ROOT = Path(__file__).parents[2]


def _published(module: Any) -> set[str]:
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def test_the_names_are_those_of_the_published_conventions() -> None:
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith(("db.", "server."))}
    published = [_published(each) for each in (db_attributes, server_attributes, db_metrics, stable_metrics)]
    assert len(ours) > 10
    assert ours <= set().union(*published)
    assert names.ERROR_TYPE in _published(error_attributes)
    assert names.SCHEMA_URL in {each.value for each in schemas.Schemas}
    assert oracle_attributes.ORACLE_DB_SERVICE == "oracle.db.service"


def test_the_attributes_of_calls_and_their_duration_are_stable() -> None:
    of_calls = {names.SYSTEM, names.NAMESPACE, names.COLLECTION, names.OPERATION, names.BATCH_SIZE, names.STATUS_CODE}
    assert of_calls <= _published(stable_attributes)
    assert names.DURATION in _published(stable_metrics)


def test_the_names_of_the_databases_are_those_of_the_published_conventions() -> None:
    ours = {dialect.system_name for dialect in (*DIALECTS, MariaDB())}
    assert ours == {"sqlite", "postgresql", "mysql", "mariadb", "oracle.db"}
    published = {each.value for each in db_attributes.DbSystemNameValues} | {
        each.value for each in stable_attributes.DbSystemNameValues
    }
    assert ours <= published


def test_units_are_those_of_the_published_conventions() -> None:
    text = Path(db_metrics.__file__).read_text(encoding="utf-8")
    for metric, unit in {
        names.CONNECTIONS: "{connection}",
        names.MAX_CONNECTIONS: "{connection}",
        names.PENDING_REQUESTS: "{request}",
        names.WAIT_TIME: "s",
        names.CONNECTION_TIMEOUTS: "{timeout}",
    }.items():
        constant = next(name for name, value in vars(db_metrics).items() if value == metric)
        description = text.partition(f"\n{constant}: Final")[2].split('"""')[1]
        assert f"Unit: {unit}" in description


def test_a_provider_that_records_nothing_counts_as_none() -> None:
    for no_tracers in (None, NoOpTracerProvider(), get_tracer_provider()):
        assert tracer_provider_in_use(no_tracers) is None
    for no_meters in (None, NoOpMeterProvider(), get_meter_provider()):
        assert meter_provider_in_use(no_meters) is None
    tracers, meters = TracerProvider(), MeterProvider()
    assert tracer_provider_in_use(tracers) is tracers
    assert meter_provider_in_use(meters) is meters


def test_a_disabled_sdk_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert tracer_provider_in_use(TracerProvider()) is None
    assert meter_provider_in_use(MeterProvider()) is None


@pytest.mark.parametrize(
    "option",
    [
        {"tracer_provider": "https://collector"},
        {"meter_provider": TracerProvider()},
        *({"slow_call_seconds": each} for each in (0, -1, inf, nan)),
    ],
)
async def test_an_invalid_option_is_refused_and_named(option: dict[str, Any]) -> None:
    for url in ("memory://", "postgresql://127.0.0.1:1/nowhere"):
        with pytest.raises(InvalidArgumentError, match=next(iter(option))):
            async with open_storage(url, **option):
                pass
    with pytest.raises(InvalidArgumentError, match=next(iter(option))):
        SqlRepository(create_engine("postgresql://127.0.0.1:1/nowhere"), **option)


CODE = """
import asyncio, sys
{before}
from axon_storage import EventRow, open_storage

async def main():
    async with open_storage({url!r}) as storage:
        await storage.append_event(EventRow(topic="t", source="s", payload=None))
        async with storage.transaction() as transaction:
            await transaction.load_traces(1)
    print(sorted({{name.partition(".")[0] for name in sys.modules if name.startswith("opentelemetry")}}))

asyncio.run(main())
"""


def _run(tmp_path: Path, before: str = "", url: str = "sqlite:///agents.db") -> subprocess.CompletedProcess[str]:
    code = CODE.format(before=before, url=url)
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )


def test_without_a_provider_opentelemetry_is_not_imported_and_nothing_is_printed(tmp_path: Path) -> None:
    done = _run(tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_opentelemetry_a_storage_works(tmp_path: Path) -> None:
    done = _run(tmp_path, before="sys.modules['opentelemetry'] = None")
    assert (done.stdout, done.stderr) == ("['opentelemetry']\n", "")


def test_a_storage_that_stores_nothing_says_so_without_any_configuration_of_logging(tmp_path: Path) -> None:
    assert "nothing will be stored" in _run(tmp_path, url="").stderr


def test_the_global_providers_are_used(tmp_path: Path) -> None:
    before = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
"""
    assert '"name": "append_event event_history"' in _run(tmp_path, before).stdout


class _Failing(SpanProcessor):
    def on_start(self, span: Span, parent_context: Any = None) -> None:
        del span, parent_context
        raise RuntimeError("a processor that fails at the start")

    def on_end(self, span: ReadableSpan) -> None:
        del span
        raise RuntimeError("a processor that fails at the end")


async def test_an_observer_that_fails_does_not_fail_the_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    provider = TracerProvider()
    provider.add_span_processor(_Failing())
    async with open_storage(f"sqlite:///{tmp_path / 'agents.db'}", tracer_provider=provider) as storage:
        await storage.save_trace(sample(TraceRow))
        async with storage.transaction() as transaction:
            assert await transaction.load_traces(1) == [sample(TraceRow)]
    assert {record.levelno for record in caplog.records if "observer" in record.getMessage()} == {logging.WARNING}


class _GroupCommitsAlone(Sampler):
    """Samples the spans of group commits."""

    def should_sample(self, *arguments: Any, **_: Any) -> SamplingResult:
        sampled = arguments[2].startswith("BATCH")
        return SamplingResult(Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP)

    def get_description(self) -> str:
        return "group commits"


async def test_a_group_commit_has_no_link_to_a_span_that_is_not_sampled(tmp_path: Path) -> None:
    spans = Spans()
    provider = TracerProvider(sampler=_GroupCommitsAlone())
    provider.add_span_processor(spans)
    async with open_storage(f"sqlite:///{tmp_path / 'agents.db'}", tracer_provider=provider) as storage:
        await asyncio.gather(*(storage.append_event(sample(EventRow)) for _ in range(9)))
    [batch] = spans.ended
    assert (batch.name, batch.links) == ("BATCH append_event event_history", ())


async def test_opening_closing_and_the_schema_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "axon_storage")
    path = tmp_path / "agents.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.load_traces(1)
        await storage.close()
    known = [
        (each.__dict__["storage_event"], each.levelno) for each in caplog.records if hasattr(each, "storage_event")
    ]
    known = [each for each in known if each[0] != "untested_server"]  # it depends on this machine's SQLite
    assert known == [
        ("schema_upgraded", logging.INFO),
        ("schema_checked", logging.DEBUG),
        ("opened", logging.INFO),
        ("closed", logging.INFO),
    ]
    [opened] = [each for each in caplog.records if getattr(each, "storage_event", None) == "opened"]
    assert opened.__dict__["database"].endswith("agents.db")


@pytest.mark.parametrize(
    ("url", "address", "port", "namespace"),
    [
        ("postgresql://u:p@db.example/agents", "db.example", None, "agents"),
        ("postgresql://u:p@db.example:5432/agents", "db.example", None, "agents"),
        ("postgresql://u:p@db.example:6432/agents", "db.example", 6432, "agents"),
        ("postgresql://u:p@/agents?host=/run/postgresql", "/run/postgresql", None, "agents"),
        ("postgresql://u:p@/agents?host=one:5433&host=two:5432", "one", 5433, "agents"),
        ("postgresql://u:p@/agents?host=one:5432", "one", None, "agents"),
        ("postgresql://u:p@/agents?host=one&host=two:5433", "one", None, "agents"),
        ("mysql://u:p@/agents?host=one:3307&host=two", "one", 3307, "agents"),
        ("mysql://u:p@db.example:3306/agents", "db.example", None, "agents"),
        ("mysql://u:p@localhost/agents?unix_socket=/run/mysqld.sock", "/run/mysqld.sock", None, "agents"),
        ("oracle://u:p@db.example:1521/?service_name=AGENTS", "db.example", None, None),
        ("oracle://u:p@db.example:1522/SID", "db.example", 1522, None),
        ("sqlite:///folder/agents.db", None, None, "folder/agents.db"),
    ],
)
def test_the_server_and_the_namespace_of_a_url(
    url: str, address: str | None, port: int | None, namespace: str | None
) -> None:
    engine = create_engine(url)
    dialect = dialect_of(engine.dialect)
    assert dialect.server(engine.url) == (address, port)
    assert dialect.namespace(engine.url) == namespace
