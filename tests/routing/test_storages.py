"""OpenStorages: which databases are open."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from axon_storage import EventRow, InMemoryBackend, StorageBackend, StorageConnectionError, TenantRouter
from axon_storage.routing import file_name
from axon_storage.routing.storages import OpenStorages
from axon_storage.testing.samples import sample
from tests.routing.test_routing import keys, save


class Opened(logging.Handler):
    """Collects the databases that were opened, and those that were closed."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if (event := getattr(record, "storage_event", None)) in {"opened", "closed"}:
            self.events.append((event, Path(record.database).stem))  # type: ignore[attr-defined]

    def count(self, event: str) -> int:
        """Return how often databases of tenants were opened or closed."""
        return sum(found == event and name != "home" for found, name in self.events)


@pytest.fixture
def opened() -> Iterator[Opened]:
    handler, log = Opened(), logging.getLogger("axon_storage")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


def _router(folder: Path, max_open: int) -> TenantRouter:
    return TenantRouter(f"sqlite:///{folder}/home.db", f"sqlite:///{folder}/{{tenant}}.db", max_open=max_open)


async def test_the_database_that_was_used_longest_ago_is_closed_first(tmp_path: Path, opened: Opened) -> None:
    async with _router(tmp_path, 2) as router:
        for tenant in ("a", "b", "a", "c", "a", "d"):
            await save(router, tenant)
            assert opened.count("opened") - opened.count("closed") <= 2
        assert [name for event, name in opened.events if event == "closed"] == ["b", "c"]
        assert repr(router) == "<TenantRouter 2 of 2 databases open>"
        assert await keys(router, "b") == ["name"]  # it is opened again
    assert opened.count("opened") == opened.count("closed") == 5


async def test_tasks_that_use_a_database_at_the_same_time_open_it_once(tmp_path: Path, opened: Opened) -> None:
    async with _router(tmp_path, 1) as router:
        await asyncio.gather(*(save(router, "a", str(number)) for number in range(10)))
        assert len(await keys(router, "a")) == 10
        assert opened.count("opened") == 1


async def test_a_database_in_use_is_not_closed(tmp_path: Path, opened: Opened) -> None:
    async with _router(tmp_path, 2) as router:
        await save(router, "a")
        async with router.for_tenant("a").transaction() as transaction:
            for tenant in ("b", "c", "d"):
                await keys(router, tenant)
            assert ("closed", "a") not in opened.events
            await save(transaction, "a", "other")
        assert await keys(router, "a") == ["name", "other"]


async def test_iterators_go_on_although_others_need_their_place(tmp_path: Path, opened: Opened) -> None:
    async with _router(tmp_path, 1) as router:
        view = router.for_tenant("a")
        sent = [await view.append_event(sample(EventRow, "a", topic="t")) for _ in range(4)]
        found = []
        async for recorded in view.iter_events(page_size=1):
            await keys(router, "b")
            found.append(recorded.id)
        assert found == sent
        async with aclosing(view.follow_events("t", after=sent[0], poll=0.01)) as events:
            for expected in sent[1:]:
                assert (await anext(events)).id == expected
                await keys(router, "b")
            last = await view.append_event(sample(EventRow, "a", topic="t"))
            await keys(router, "b")
            assert (await anext(events)).id == last
        assert opened.count("closed") >= 8


async def test_many_tenants_at_once_share_few_places(tmp_path: Path, opened: Opened) -> None:
    async with _router(tmp_path, 3) as router:
        await asyncio.gather(*(save(router, f"t{number}") for number in range(8)))
        assert repr(router) == "<TenantRouter 3 of 3 databases open>"
        assert len(await router.tenant_ids()) == 8
        balance = most = 0
        for event, name in opened.events:
            balance += (event == "opened") - (event == "closed") if name != "home" else 0
            most = max(most, balance)
        assert most == 3


class Gate(InMemoryBackend):
    """A storage that is closed when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def _close(self) -> None:
        await self.gate.wait()


async def test_a_call_without_a_place_is_refused_after_a_time() -> None:
    storages = OpenStorages(lambda _: InMemoryBackend(), 1, 0.02)
    async with storages.use("a"):
        async with storages.use("a") as again:
            assert await again.is_healthy()
        with pytest.raises(StorageConnectionError, match=r"all 1 storages are in use: raise max_open") as refused:
            await storages.use("b").__aenter__()
        assert refused.value.transient
    async with storages.use("b"):
        assert len(storages) == 1


async def test_one_storage_is_closed_for_each_call_that_waits() -> None:
    made: dict[str, Gate] = {}

    def make(name: str) -> StorageBackend:
        return made.setdefault(name, Gate())

    storages = OpenStorages(make, 3, 5)
    for name in "abc":
        async with storages.use(name):
            pass
    waiting = asyncio.create_task(storages.use("d").__aenter__())
    for _ in range(5):
        await asyncio.sleep(0)
        async with storages.use("c"):  # its end wakes the waiting call
            pass
    made["a"].gate.set()
    await waiting
    async with asyncio.timeout(5):
        async with storages.use("b"):  # it was not closed
            assert len(storages) == 3


async def test_an_error_of_closing_is_logged_by_its_type_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(InMemoryBackend):
        async def _close(self) -> None:
            raise RuntimeError("a secret")

    storages = OpenStorages(lambda _: Broken(), 1, 5)
    for name in "ab":
        async with storages.use(name):
            pass
    await storages.close()
    assert caplog.messages == [f"the database {name!r}: closing its storage failed: RuntimeError" for name in "ab"]


def test_file_names_are_safe_and_different() -> None:
    tenants = [
        "a",
        "A",
        "a ",
        "a~20",
        "á",
        "é",
        ".",
        "..",
        "a/b",
        "a\\b",
        "a:b",
        "☕" * 63,
        "☕" * 64,
        "A" * 64,
        "con%41",
        "?x",
    ]
    names = {file_name(tenant) for tenant in tenants}
    assert len({name.lower() for name in names}) == len(tenants)
    assert all(name.isascii() and len(name) <= 120 and not set(name) & set("./\\:%?# ") for name in names)
    assert file_name("acme-1_b") == "acme-1_b"
    assert file_name("Acme") == "~41cme"
