"""A storage after a fork: the child gets an error, and the parent can go on using the storage."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import event

from axon_storage import LoopLocal, SessionRow, SqlRepository, StorageBackend, TraceRow, create_engine, open_storage
from axon_storage.testing.samples import sample
from tests.faults.conftest import NETWORKED

Use = Callable[[StorageBackend], Awaitable[object]]

# Python 3.12 and later warn, with reason; here the child does only what is under test
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture(params=["sqlite", *NETWORKED])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def _calls(storage: StorageBackend) -> None:
    await storage.load_daemons()


async def _closes(storage: StorageBackend) -> None:
    await storage.close()
    gc.collect()  # must not close the parent's connections


async def _is_healthy_and_closes(storage: StorageBackend) -> None:
    assert await storage.is_healthy()
    await _closes(storage)


async def _saves_and_closes(storage: StorageBackend) -> None:
    await storage.save_session(sample(SessionRow, key="the child's"))
    await _closes(storage)


async def _saves_on_the_engine(storage: StorageBackend) -> None:
    assert isinstance(storage, SqlRepository)
    own = SqlRepository(storage.engine)
    await own.load_sessions("name")
    await _saves_and_closes(own)


async def test_a_call_in_the_child_is_an_error_and_the_parent_goes_on(url: str) -> None:
    async with open_storage(url, migrate=False) as storage:
        await storage.save_trace(sample(TraceRow))
        assert "this storage belongs to another process: open one after the fork" in await _in_child(_calls, storage)
        assert await storage.load_traces(1) == [sample(TraceRow)]


async def test_closing_in_the_child_does_not_affect_the_parent(url: str) -> None:
    async with open_storage(url, migrate=False) as storage:
        await asyncio.gather(*(storage.load_traces(1) for _ in range(3)))
        assert await _in_child(_closes, storage) == "nothing"
        await _every_connection_works(storage)


async def test_a_health_check_in_the_child_does_not_affect_the_parents_connection_for_it(url: str) -> None:
    engine, opened = create_engine(url), 0
    storage = SqlRepository(engine)

    def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    await storage.load_daemons()
    event.listen(engine.sync_engine, "do_connect", count)
    assert await storage.is_healthy()
    assert await _in_child(_is_healthy_and_closes, storage) == "nothing"
    assert await storage.is_healthy()
    assert opened == 1  # the parent has kept its connection
    await storage.close()


async def test_closing_in_the_child_does_not_affect_a_call_of_the_parent(url: str) -> None:
    async with open_storage(url, migrate=False) as storage, storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow))
        others = [asyncio.create_task(storage.save_session(sample(SessionRow, key=key))) for key in "abc"]
        await asyncio.sleep(0)  # they have begun
        assert await _in_child(_closes, storage) == "nothing"
        assert await transaction.load_traces(1) == [sample(TraceRow)]
    await asyncio.gather(*others)


async def test_the_child_may_use_a_storage_that_was_only_opened(url: str) -> None:
    async with open_storage(url, migrate=False) as storage:
        assert await _in_child(_saves_and_closes, storage) == "nothing"
        await _every_connection_works(storage)
        assert sample(SessionRow, key="the child's") in await storage.load_sessions("name")


async def test_the_child_may_make_a_storage_on_the_engine_of_a_call_that_has_just_ended(url: str) -> None:
    async with SqlRepository(create_engine(url, pool_size=4)) as storage:
        await storage.load_sessions("name")
        await storage.load_sessions("name")
        assert await _in_child(_saves_on_the_engine, storage) == "nothing"
        await storage.load_sessions("name")
        await _every_connection_works(storage)
        assert sample(SessionRow, key="the child's") in await storage.load_sessions("name")


async def test_the_child_of_a_process_with_a_loop_local_opens_its_own_connections(url: str) -> None:
    async with LoopLocal(url, migrate=False) as storage:
        await storage.load_sessions("name")
        assert await _in_child(_saves_and_closes, storage) == "nothing"
        await _every_connection_works(storage)
        assert sample(SessionRow, key="the child's") in await storage.load_sessions("name")


async def _every_connection_works(storage: StorageBackend) -> None:
    """Use the connections of the pool. Transactions are not retried, so a broken connection makes one fail."""
    for number in range(4):
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, key=str(number)))
    assert [entry.key for entry in await storage.load_sessions("name")][:4] == ["0", "1", "2", "3"]


async def _in_child(use: Use, storage: StorageBackend) -> str:
    """Fork, use the storage in the child, and return the error that this raises there, or ``nothing``."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # the child must not return into the test run, which has the parent's connections
        answer = "nothing"
        try:
            asyncio.run(asyncio.wait_for(use(storage), 20))
        except BaseException as error:
            answer = repr(error)
        finally:
            os.write(writing, answer.encode())
            os._exit(0)
    os.close(writing)
    output: bytes = await asyncio.to_thread(os.read, reading, 10_000)
    await asyncio.to_thread(os.waitpid, child, 0)
    os.close(reading)
    return output.decode()
