"""AxonSaver: deletions, copies and reads while a graph puts checkpoints into the same thread."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from axon_storage import StorageBackend, StorageError
from axon_storage.integrations.langgraph import AxonSaver
from tests.integrations.checkpoints import BIG, config, entries, get, ids, put

DOCUMENT = "x" * 10_000


async def _step(saver: AxonSaver, thread_id: str, number: int, run: str) -> None:
    """Put checkpoint ``number``, with a document that only checkpoint 0 stores."""
    where = config(thread_id, checkpoint_id=f"{number - 1}" if number else None)
    values = {"document": DOCUMENT, "step": f"{number}" * 1000}
    new = {"step": number} | ({} if number else {"document": 0})
    versions = {"document": 0, "step": number}
    await put(saver, where, values, new=new, versions=versions, id=f"{number}", run_id=run)


async def _prune(saver: AxonSaver, thread_id: str) -> None:
    await saver.aprune([thread_id])


async def _delete_old_run(saver: AxonSaver, thread_id: str) -> None:
    await saver.adelete_for_runs([f"old {thread_id}"])


async def _delete_thread(saver: AxonSaver, thread_id: str) -> None:
    await saver.adelete_thread(thread_id)


@pytest.mark.parametrize("delete", [_prune, _delete_old_run, _delete_thread])
async def test_a_running_graph_keeps_the_values_of_its_checkpoints(
    saver: AxonSaver, delete: Callable[[AxonSaver, str], Awaitable[None]]
) -> None:
    async def run(number: int) -> None:
        thread_id = f"{number}"
        for step in range(4):
            await _step(saver, thread_id, step, f"old {thread_id}")
        await asyncio.gather(_continue(thread_id), _later(number, delete(saver, thread_id)))
        await _step(saver, thread_id, 8, "new")
        for each in [each async for each in saver.alist(config(thread_id))]:
            assert each.checkpoint["channel_values"]["document"] == DOCUMENT

    async def _continue(thread_id: str) -> None:
        for step in range(4, 8):
            await _step(saver, thread_id, step, "new")

    for first in range(0, 24, 4):
        await asyncio.gather(*(run(number) for number in range(first, first + 4)))
    for thread_id in map(str, range(24)):
        await saver.adelete_thread(thread_id)
    assert await entries(saver.storage) == []


async def _later(number: int, call: Awaitable[None]) -> None:
    await asyncio.sleep(0.001 * (number % 8))
    await call


async def test_a_put_stores_unchanged_values_again_if_they_were_deleted(saver: AxonSaver) -> None:
    for thread_id, delete in (("1", _delete_old_run), ("2", _delete_thread)):
        await _step(saver, thread_id, 0, f"old {thread_id}")
        await delete(saver, thread_id)
        await _step(saver, thread_id, 1, "new")
        found = await get(saver, config(thread_id))
        assert found.checkpoint["channel_values"] == {"document": DOCUMENT, "step": "1" * 1000}


async def test_a_thread_that_is_deleted_while_runs_begin_leaves_nothing_of_them(saver: AxonSaver) -> None:
    for number in range(20):
        await _step(saver, "thread", 0, "first")
        await asyncio.gather(
            _later(number, saver.adelete_thread("thread")),
            *(_step(saver, "thread", step, f"run {step}") for step in range(1, 6)),
        )
        await saver.adelete_for_runs([f"run {step}" for step in range(1, 6)])
        assert await ids(saver, None) == []
        await saver.adelete_thread("thread")
        assert await entries(saver.storage) == []


def _before_read(storage: StorageBackend, number: int, call: Callable[[], Awaitable[object]]) -> None:
    """Call a function once, before the read with this number."""
    load, reads = storage.load_sessions, 0

    async def load_sessions(*arguments: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == number:
            await call()
        return await load(*arguments, **options)

    storage.load_sessions = load_sessions  # type: ignore[method-assign]


@pytest.mark.parametrize("read", [2, 3])
async def test_a_checkpoint_that_is_deleted_while_it_is_read_is_not_found(saver: AxonSaver, read: int) -> None:
    await put(saver, config(), {"large": BIG}, id="1")
    other = AxonSaver(saver.storage.for_tenant("acme"))
    _before_read(saver.storage, read, lambda: other.adelete_thread("thread"))
    assert await saver.aget_tuple(config()) is None
    assert await ids(saver, config()) == []


@pytest.mark.parametrize("read", [2, 3])
async def test_a_read_returns_the_newer_checkpoint_if_the_first_is_pruned(saver: AxonSaver, read: int) -> None:
    first = await put(saver, config(), {"large": BIG}, id="1")
    other = AxonSaver(saver.storage.for_tenant("acme"))

    async def replace() -> None:
        await put(other, first, {"large": BIG[1:]}, versions={"large": 2}, id="2")
        await other.aprune(["thread"])

    _before_read(saver.storage, read, replace)
    assert (await get(saver, config())).checkpoint["channel_values"] == {"large": BIG[1:]}


async def test_a_missing_value_is_an_error_that_names_it(saver: AxonSaver) -> None:
    await _step(saver, "thread", 0, "run")
    await saver.storage.delete_session("langgraph thread", "v  document 0")
    message = "thread 'thread', namespace '', checkpoint '0': the values of these channels are missing: 'document'"
    with pytest.raises(StorageError, match=message):
        await saver.aget_tuple(config())
    with pytest.raises(StorageError, match=message):
        await ids(saver, config())


@pytest.mark.parametrize(("delete", "left"), [(_prune, ["59"]), (_delete_thread, [])])
async def test_a_copy_is_complete_although_the_thread_is_pruned_or_deleted_meanwhile(
    saver: AxonSaver, delete: Callable[[AxonSaver, str], Awaitable[None]], left: list[str]
) -> None:
    for step in range(60):
        value = {"value": f"{step}" * 5000}
        await put(saver, config(), value, versions={"value": step}, id=f"{step:02}")
    other, tasks = AxonSaver(saver.storage.for_tenant("acme")), list[asyncio.Task[None]]()
    begin = saver.storage.transaction

    async def delete_soon() -> None:
        tasks.append(asyncio.create_task(asyncio.wait_for(delete(other, "thread"), 30)))
        await asyncio.wait(tasks, timeout=0.5)  # without a lock, it ends before the next page is read

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Any]:
        async with begin() as opened:
            _before_read(opened, 2, delete_soon)
            yield opened

    saver.storage.transaction = transaction  # type: ignore[method-assign]
    await saver.acopy_thread("thread", "copy")
    await asyncio.gather(*tasks)
    copied = [each.checkpoint["channel_values"] async for each in other.alist(config("copy"))]
    assert copied == [{"value": f"{step}" * 5000} for step in range(59, -1, -1)]
    assert await ids(other, config()) == left


async def test_a_copy_that_begins_while_the_thread_is_deleted_is_complete_or_empty(saver: AxonSaver) -> None:
    for step in range(60):
        await put(saver, config(), {"value": f"{step}" * 5000}, versions={"value": step}, id=f"{step:02}")
    other, reads_second_page = AxonSaver(saver.storage.for_tenant("acme")), asyncio.Event()
    copying, begin, begin_deletion = list[asyncio.Task[None]](), saver.storage.transaction, other.storage.transaction

    async def end_deletion() -> None:
        reads_second_page.set()
        await deletion

    @asynccontextmanager
    async def copies() -> AsyncIterator[Any]:
        async with begin() as opened:
            _before_read(opened, 2, end_deletion)
            yield opened

    @asynccontextmanager
    async def deletes() -> AsyncIterator[Any]:
        async with begin_deletion() as opened:
            yield opened
            if not copying:
                copying.append(asyncio.create_task(saver.acopy_thread("thread", "copy")))
                await asyncio.wait({asyncio.create_task(reads_second_page.wait())}, timeout=0.5)

    saver.storage.transaction, other.storage.transaction = copies, deletes  # type: ignore[method-assign]
    deletion = asyncio.create_task(other.adelete_thread("thread"))
    await deletion
    reads_second_page.set()
    await copying[0]
    copied = [each.checkpoint["id"] async for each in other.alist(config("copy"))]
    assert len(copied) in {0, 60}
