"""Fills a storage with difficult values, and reads everything that the public methods return of it."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from axon_storage import CacheRow, CostRow, EventRow, Row, SessionRow, StorageBackend, TraceRow
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import LARGEST, rows, sample
from axon_storage.testing.verbs import load

TENANTS = ("default", "acme ☕'", "z")
EXAMPLES, DAY = 12, 86_400
MEBIBYTE = 2**20


def nested(levels: int) -> Any:
    """Return a JSON value with that many levels of lists and dicts."""
    value: Any = []
    for level in range(levels - 1):
        value = {"level": value} if level % 2 else [value]
    return value


def drawn(row_type: type[Row], tenant: str) -> list[Row]:
    """Return rows from the strategy of any row of the domain."""
    found: list[Row] = []

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(row=rows(row_type, tenant))
    def draw(row: Row) -> None:
        if isinstance(row, CacheRow) and row.ttl_secs is not None:
            # the file is used during the whole run of the tests, and an expired entry is not loaded
            row = replace(row, ttl_secs=max(row.ttl_secs, DAY))
        found.append(row)

    draw()
    return found


def difficult(tenant: str) -> list[Row]:
    """Return rows with the limits of the value domain."""
    numbers = (0, 1, 2**31, 2**32, 2**63 - 1, 2**63, LARGEST)
    floats = (0.1, 5e-324, 1.7976931348623157e308, -1e-300, 2.0**53 + 2, -0.0)
    texts = ("", "é" * 2_500_000, "\\'" * MEBIBYTE, "😀%s:name?$1\r\n\t\x01\x1a\x7f\ufeff")
    documents: tuple[Any, ...] = (nested(64), 1, 1.0, 1e2, LARGEST, None, "", {})
    names = ("", "a", "A", "a ", "é", "e\u0301", "😀", "\x01", "\x01\x01", "'\"\\%", "x" * 255)
    return [
        *(sample(TraceRow, tenant, trace_id=number, latency_ms=number, replay_of=number) for number in numbers),
        sample(TraceRow, tenant, trace_id=8, correlation_id="", flow_name="", events="", annotations=None),
        *(sample(CostRow, tenant, cost_usd=number) for number in floats),
        *(sample(SessionRow, tenant, scope=name, key=text[:9], value=text) for name in names[:2] for text in texts),
        *(sample(SessionRow, tenant, scope=scope, key=key) for scope in names for key in names),
        *(sample(EventRow, tenant, payload=document) for document in documents),
        sample(EventRow, tenant, payload=[{"é": '"' * 10}] * 150_000),
        sample(CacheRow, tenant, ttl_secs=2**31 - 1),
        sample(CacheRow, tenant, cache_key="kept", ttl_secs=None),
        *(sample(row_type, tenant) for row_type in ROW_TYPES),
    ]


async def fill(storage: StorageBackend, *, many: int = 2_500) -> None:
    """Save the rows of all tenants; the traces in another order than that of their keys."""
    for tenant in TENANTS:
        view = storage.for_tenant(tenant)
        for row in difficult(tenant):
            await view.save_many([row])
        for row_type in ROW_TYPES:
            await view.save_many(drawn(row_type, tenant))
    numbers = [number * (LARGEST // many) + 11 for number in range(many)]
    Random(5).shuffle(numbers)  # noqa: S311  # not used for security
    view = storage.for_tenant(TENANTS[0])
    await view.save_many([sample(TraceRow, trace_id=number) for number in numbers])
    await view.save_many([sample(SessionRow, scope=f"s{number % 7}", key=str(number)) for number in range(many)])
    await view.save_trace(sample(TraceRow, trace_id=numbers[0], status="saved again"))


async def everything(storage: StorageBackend) -> dict[str, list[Any]]:
    """Return every row of every tenant as the public methods return it, with ids and timestamps where they have them.

    The lists are in the order of the methods. Rows are compared as JSON, because 1 equals 1.0 in Python.
    """
    found: dict[str, list[Any]] = {}
    for tenant in await storage.tenant_ids():
        view = storage.for_tenant(tenant)
        found[tenant] = [row.to_json() for row_type in ROW_TYPES for row in await load(view, row_type)]
        for iterate in (view.iter_traces, view.iter_events, view.iter_audit, view.iter_costs):
            found[tenant] += [(each.id, each.timestamp, each.row.to_json()) async for each in iterate()]
    return found
