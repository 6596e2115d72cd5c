"""The order of lists: newest first, by the first save; pages; ids of appends."""

from uuid import UUID, uuid4

import pytest

from axon_storage import AuditRow, CostRow, EventRow, Row, StorageBackend, TraceRow, new_id
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import LOGS, load, store

LARGEST_PAGE = 2**63 - 1


async def test_traces_are_listed_newest_first_by_their_first_save(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    traces = [sample(TraceRow, tenant, trace_id=number) for number in (5, 2**64 - 1, 0, 3)]
    for trace in traces:
        await storage.save_trace(trace)
    again = sample(TraceRow, tenant, trace_id=5, status="saved again")
    await storage.save_trace(again)
    assert await storage.load_traces(10) == [traces[3], traces[2], traces[1], again]


async def test_a_trace_deleted_and_saved_again_is_the_newest(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many([sample(TraceRow, tenant, trace_id=number) for number in (1, 2)])
    await storage.delete_traces([1])
    await storage.save_trace(sample(TraceRow, tenant, trace_id=1))
    assert [trace.trace_id for trace in await storage.load_traces(10)] == [1, 2]


@pytest.mark.parametrize("row_type", LOGS)
async def test_appends_are_listed_newest_first(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    field = {AuditRow: "action", EventRow: "source", CostRow: "backend"}[row_type]
    entries = [sample(row_type, tenant, **{field: str(number)}) for number in range(30)]
    for entry in entries:
        await store(storage, entry)
    assert await load(storage, row_type) == entries[::-1]


async def test_filters_choose_one_topic_or_flow(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    events = [sample(EventRow, tenant, topic=topic, source=str(n)) for n in range(5) for topic in ("a", "a ", "A", "")]
    costs = [sample(CostRow, tenant, flow_name=flow, input_tokens=n) for n in range(5) for flow in ("f", "F", "f ")]
    await storage.save_many([*events, *costs])
    for topic in ("a", "a ", "A", ""):
        assert await storage.query_events(topic, 3) == [e for e in events[::-1] if e.topic == topic][:3]
    for flow in ("f", "F", "f "):
        assert await storage.query_costs(flow, 9) == [c for c in costs[::-1] if c.flow_name == flow]
    assert await storage.query_events("unknown", 9) == []
    assert await storage.query_events(None, 7) == events[::-1][:7]


async def test_pages_join_without_gap_or_overlap(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    traces = [sample(TraceRow, tenant, trace_id=number) for number in range(25)]
    await storage.save_many(traces)
    pages = [await storage.load_traces(10, offset) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert [trace for page in pages for trace in page] == traces[::-1]


@pytest.mark.parametrize(
    ("limit", "offset", "expected"),
    [
        (0, 0, 0),
        (LARGEST_PAGE, 0, 3),
        (LARGEST_PAGE, 1, 2),
        (1, LARGEST_PAGE, 0),
        (LARGEST_PAGE, LARGEST_PAGE, 0),
    ],
)
async def test_a_page_may_be_empty_or_very_large(
    storage: StorageBackend, limit: int, offset: int, expected: int
) -> None:
    tenant = storage.current_tenant()
    await storage.save_many([sample(TraceRow, tenant, trace_id=number) for number in range(3)])
    assert len(await storage.load_traces(limit, offset)) == expected
    await storage.append_event(sample(EventRow, tenant))
    assert len(await storage.query_events("name", limit)) == min(limit, 1)


@pytest.mark.parametrize("page", [-1, 2**63, True, 1.0, None, "1"])
async def test_a_page_outside_its_range_is_a_value_error(storage: StorageBackend, page: int) -> None:
    with pytest.raises(ValueError, match="limit must be an integer from 0"):
        await storage.load_traces(page)
    with pytest.raises(ValueError, match="offset must be an integer from 0"):
        await storage.load_traces(1, page)
    for query in (storage.query_audit(page), storage.query_events(None, page), storage.query_costs("flow", page)):
        with pytest.raises(ValueError, match="limit"):
            await query


@pytest.mark.parametrize("row_type", LOGS)
async def test_an_append_returns_its_id_and_the_same_id_again_stores_nothing(
    storage: StorageBackend, row_type: type[Row]
) -> None:
    tenant = storage.current_tenant()
    first, row_id = sample(row_type, tenant), new_id()
    assert await store(storage, first, id=row_id) == row_id
    assert await store(storage, first, id=row_id) == row_id
    assert await load(storage, row_type) == [first]
    made = await store(storage, first)
    assert isinstance(made, UUID)
    assert made.version == 7
    assert made != row_id
    assert await load(storage, row_type) == [first, first]


async def test_the_first_append_of_an_id_is_kept(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    row_id = new_id()
    first, second = sample(EventRow, tenant, source="first"), sample(EventRow, tenant, source="second")
    await storage.append_event(first, row_id)
    await storage.append_event(second, id=row_id)
    assert await storage.query_events(None, 9) == [first]


async def test_one_id_may_serve_two_tenants(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    row_id = new_id()
    for tenant in ("a", "b"):
        await storage.for_tenant(tenant).append_event(sample(EventRow, tenant), row_id)
    for tenant in ("a", "b"):
        assert await storage.for_tenant(tenant).query_events(None, 9) == [sample(EventRow, tenant)]


@pytest.mark.parametrize(
    "row_id", [uuid4(), UUID(int=0), "a string", 7, UUID(int=(2**48 - 1) << 80 | 7 << 76 | 2 << 62)]
)
async def test_the_timestamp_of_an_invalid_id_is_a_value_error(storage: StorageBackend, row_id: UUID) -> None:
    tenant = storage.current_tenant()
    for row_type in LOGS:
        with pytest.raises(ValueError, match="id: "):
            await store(storage, sample(row_type, tenant), id=row_id)
        assert await load(storage, row_type) == []
