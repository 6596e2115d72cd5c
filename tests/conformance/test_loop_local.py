"""LoopLocal: a storage for each event loop."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from axon_storage import LoopLocal, QueryError, SessionRow, StorageConnectionError, TenantMismatchError
from axon_storage.model.requests import ListTenants
from axon_storage.testing.samples import sample

SAVED = sample(SessionRow, scope="s")


class Connections:
    """The connections that pools have opened and closed."""

    opened = closed = 0

    def open(self, *_: object) -> None:
        self.opened += 1

    def close(self, *_: object) -> None:
        self.closed += 1


@pytest.fixture
def connections() -> Iterator[Connections]:
    counted = Connections()
    listeners = (("connect", counted.open), ("close", counted.close), ("close_detached", counted.close))
    for name, listener in listeners:
        event.listen(Pool, name, listener)
    yield counted
    for name, listener in listeners:
        event.remove(Pool, name, listener)


async def _in_new_loop(use: Callable[[], Awaitable[object]]) -> object:
    async def main() -> object:
        return await use()

    return await asyncio.to_thread(asyncio.run, main())


async def test_each_loop_has_connections_that_are_closed_with_it(url: str, connections: Connections) -> None:
    storage = LoopLocal(url)
    await _in_new_loop(lambda: storage.save_session(SAVED))
    assert connections.opened == connections.closed > 0
    assert await _in_new_loop(lambda: storage.load_sessions("s")) == [SAVED]
    assert connections.opened == connections.closed
    assert repr(storage) == "<LoopLocal open in 0 event loops>"


# asyncio warns of every context manager that such a loop uses
@pytest.mark.filterwarnings("ignore:asynchronous generator:ResourceWarning")
async def test_a_loop_that_is_used_again_after_its_generators_were_shut_down(
    url: str, connections: Connections
) -> None:
    storage = LoopLocal(url)

    def calls() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(storage.save_session(SAVED))
        for _ in range(2):
            loop.run_until_complete(loop.shutdown_asyncgens())
            assert connections.opened == connections.closed
            assert loop.run_until_complete(_used_twice(storage)) == [SAVED]
        loop.run_until_complete(storage.close())
        loop.close()

    await asyncio.to_thread(calls)
    assert connections.opened == connections.closed


async def _used_twice(storage: LoopLocal) -> list[SessionRow]:
    await storage.load_sessions("s")
    return await storage.load_sessions("s")


async def test_loops_of_several_threads_write_at_the_same_time(url: str, connections: Connections) -> None:
    storage, threads, calls = LoopLocal(url), 4, 5

    async def write(thread: int, call: int) -> None:
        await asyncio.gather(
            storage.save_session(sample(SessionRow, scope="s", key=f"{thread} {call}")),
            storage.save_session(sample(SessionRow, scope="shared", key="one")),
        )

    def run(thread: int) -> None:
        for call in range(calls):
            asyncio.run(write(thread, call))

    with ThreadPoolExecutor(threads) as pool:
        await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(pool, run, thread) for thread in range(threads))
        )
    assert len(await storage.load_sessions("s")) == threads * calls
    await storage.close()
    assert connections.opened == connections.closed


async def test_close_closes_the_storage_of_the_running_loop_and_a_later_call_opens_it(
    url: str, connections: Connections
) -> None:
    storage = LoopLocal(url)
    await storage.close()
    for _ in range(2):
        await storage.save_session(SAVED)
        await storage.close()
        assert connections.opened == connections.closed > 0
    async with LoopLocal(url) as other, other.transaction():
        with pytest.raises(QueryError, match="this task is inside a transaction"):
            await other.close()
        assert repr(other) == "<LoopLocal open in 1 event loops>"
    assert connections.opened == connections.closed


async def test_a_call_that_begins_while_the_storage_is_being_closed_opens_another_one(
    url: str, connections: Connections
) -> None:
    async with LoopLocal(url) as storage:
        for _ in range(3):
            async with storage.transaction() as transaction:
                closing = asyncio.create_task(storage.close())  # waits for the transaction
                await asyncio.sleep(0)
                assert await storage.load_sessions("s") == []
                assert await asyncio.gather(*(storage.load_sessions("s") for _ in range(3))) == [[], [], []]
                assert not closing.done()
                assert await transaction.load_sessions("s") == []
            await closing
            assert repr(storage) == "<LoopLocal open in 1 event loops>"
    assert connections.opened == connections.closed


async def test_close_waits_for_calls_that_open_the_storage(url: str, connections: Connections) -> None:
    storage = LoopLocal(url)
    calls = [asyncio.create_task(storage.load_sessions("s")) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.gather(storage.close(), storage.close())
    assert await asyncio.gather(*calls) == [[], [], []]
    assert connections.opened == connections.closed > 0


async def test_the_connections_of_a_loop_local_that_is_no_longer_used_are_closed(
    url: str, connections: Connections
) -> None:
    storage = LoopLocal(url)
    await storage.load_sessions("s")
    del storage
    gc.collect()
    while connections.opened > connections.closed:  # noqa: ASYNC110  # nothing tells the end
        await asyncio.sleep(0.01)  # its loop closes them
    assert connections.opened > 0


async def test_calls_that_open_the_storage_at_the_same_time_open_it_once(url: str, connections: Connections) -> None:
    async with LoopLocal(url, pool_size=1, migrate=False) as storage:
        await storage.load_sessions("s")
    alone = connections.opened
    async with LoopLocal(url, pool_size=1, migrate=False) as storage:
        first, *others = (asyncio.create_task(storage.load_sessions("s")) for _ in range(10))
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == [[]] * 9
    assert connections.opened == 2 * alone


async def test_views_and_transactions_have_their_tenant(url: str) -> None:
    async with LoopLocal(url, require_tenant=True) as storage:
        acme = storage.for_tenant("acme")
        async with acme.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, "acme", scope="s"))
        assert await acme.load_sessions("s") == [sample(SessionRow, "acme", scope="s")]
        with pytest.raises(TenantMismatchError):
            await storage.load_sessions("s")
        with pytest.raises(TenantMismatchError):
            async with storage.transaction() as transaction:
                await transaction.load_sessions("s")
        assert await storage.is_healthy()
        assert (await storage.stats()).tables


async def test_an_error_of_opening_is_raised_by_each_call_and_the_next_call_opens_again(tmp_path: object) -> None:
    storage = LoopLocal(f"sqlite:///{tmp_path}/missing/file.db")
    for _ in range(2):
        failed = await asyncio.gather(*(storage.load_sessions("s") for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in failed] == [StorageConnectionError] * 3
    assert not await storage.is_healthy()


def test_a_loop_that_ends_before_its_storage_is_closed_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    storage, loop = LoopLocal("memory://"), asyncio.new_event_loop()
    loop.run_until_complete(storage.load_sessions("s"))
    loop.close()
    asyncio.run(_used_twice(storage))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "an event loop was closed and its storage was not"
    ]


def test_without_an_event_loop_of_asyncio_a_call_is_refused() -> None:
    with pytest.raises(StorageConnectionError, match="no event loop of asyncio is running here"):
        LoopLocal("memory://").execute(ListTenants(operation="tenant_ids", tenant="")).send(None)


def test_an_unknown_option_is_refused_when_the_object_is_made() -> None:
    with pytest.raises(TypeError, match=r"LoopLocal\(\) has no option 'pool'"):
        LoopLocal("memory://", pool=1)  # type: ignore[call-arg]


async def test_the_storage_of_a_loop_stays_when_other_loops_begin_to_use_the_object(url: str) -> None:
    async with LoopLocal(url) as storage:
        await storage.close()
        opening = asyncio.create_task(storage.load_sessions("s"))
        await asyncio.sleep(0)
        await _in_new_loop(lambda: storage.save_session(SAVED))
        await opening
        assert repr(storage) == "<LoopLocal open in 1 event loops>"


def test_a_loop_without_an_open_storage_is_not_kept() -> None:
    storage, first = LoopLocal("memory://"), asyncio.new_event_loop()
    first.run_until_complete(storage.load_sessions("s"))
    first.run_until_complete(storage.close())
    asyncio.run(_used_twice(storage))
    kept = weakref.ref(first)
    first.close()
    del first
    gc.collect()
    assert kept() is None
