"""``delete_sessions``: many entries of a scope in one transaction, in the order of the other writes of their rows."""

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    InvalidArgumentError,
    Retry,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    TraceRow,
    operation_timeout,
)
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.delete_ranges import *  # noqa: F403
from axon_storage.testing.suite.delete_ranges import keys_of
from axon_storage.testing.suite.ranges import BOUNDS, LONG, within
from tests.conformance.concurrent_writes import save, several_writers, start, value_of

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("s", ["a"]), {"start": "a"}, InvalidArgumentError, "keys cannot be combined with start and end"),
        (("s", []), {"end": "a"}, InvalidArgumentError, "keys cannot be combined with start and end"),
        (("s", "abc"), {}, InvalidArgumentError, "keys must be an iterable of keys, not a str"),
        (("s", ["a", LONG]), {}, SerializationError, "sessions.key: 256 characters"),
        (("s",), {"start": LONG}, SerializationError, "start: 256 characters"),
        (("s",), {"end": "\0"}, SerializationError, "end: U"),
        ((LONG,), {}, SerializationError, "sessions.scope: 256 characters"),
    ],
)
async def test_invalid_ranges_delete_nothing(
    repository: SqlRepository, arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    await save(repository, "a")
    with pytest.raises(error, match=f"delete_sessions: {message}"):
        await repository.delete_sessions(*arguments, **options)
    assert await keys_of(repository) == ["a"]


def _delete(storage: StorageBackend, dice: random.Random, model: dict[str, str]) -> tuple[Any, int]:
    """Return a delete of a random range or of some keys, and its expected result; delete them from the model."""
    first, last = dice.choice([*BOUNDS[:2], "b", "d"]), dice.choice([None, "c", "e"])
    some = dice.sample("abcdef", 2)
    by_key = dice.random() < 0.3
    keys = [key for key in some if key in model] if by_key else within(list(model), first, last)
    for key in keys:
        del model[key]
    call = storage.delete_sessions("s", some) if by_key else storage.delete_sessions("s", start=first, end=last)
    return call, len(keys)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("group_commit", [True, False])
async def test_deletes_of_ranges_take_effect_in_the_order_of_the_calls(
    engine: AsyncEngine, seed: int, *, group_commit: bool
) -> None:
    storage, dice = SqlRepository(engine, group_commit=group_commit), random.Random(seed)  # noqa: S311  # repeatable
    calls, expected, model = list["asyncio.Future[Any]"](), list[Any](), dict[str, str]()
    for number in range(150):
        key, value = dice.choice("abcdef"), f"{number}"
        match dice.randrange(5):
            case 0:
                call, result = _delete(storage, dice, model)
                calls += start(call)
                expected.append(result)
            case 1:
                row = sample(SessionRow, scope="s", key=key, value=value)
                calls += start(storage.create(row))
                expected.append(key not in model)
                model.setdefault(key, value)
            case _:
                some = dice.sample("abcdef", 2) if dice.random() < 0.3 else [key]
                rows = [sample(SessionRow, scope="s", key=each, value=value) for each in some]
                calls += start(storage.save_many(rows), save(storage, "z", value), storage.delete_session("t", key))
                expected += [None, None, False]
                model |= dict.fromkeys([*some, "z"], value)
        if dice.random() < 0.1:
            await asyncio.sleep(0.001)
    assert await asyncio.gather(*calls) == expected
    assert {entry.key: entry.value for entry in await storage.load_sessions("s")} == model


@pytest.mark.not_on("oracle", "the double goes on with a statement that waits for a lock after its client has gone")
@several_writers
@pytest.mark.parametrize("ends", ["cancelled", "timed out"])
@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_delete_of_a_range_that_is_cancelled_or_times_out_while_it_waits_deletes_nothing_later(
    engine: AsyncEngine, ends: str, *, group_commit: bool
) -> None:
    storage = SqlRepository(engine, group_commit=group_commit)
    async with storage.transaction() as transaction:
        await save(transaction, "held", "first")
        [holding] = start(save(storage, "held", "second"))  # waits for the lock of the transaction
        await asyncio.sleep(0.02)
        with operation_timeout(0.2 if ends == "timed out" else 60):
            [failing] = start(storage.delete_sessions("s"))  # waits for the save of one of its rows
        [later] = start(save(storage, "free", "later"))  # waits for the delete
        await asyncio.sleep(0.05)
        assert not later.done()
        if ends == "cancelled":
            failing.cancel()
        await asyncio.wait({failing})
        assert failing.cancelled() or isinstance(failing.exception(), StorageConnectionError)
        await later
        assert await value_of(storage, "free") == "later"
    await holding
    assert [await value_of(storage, key) for key in ("held", "free")] == ["second", "later"]
    assert await storage.delete_sessions("s") == 2


@several_writers
async def test_a_delete_of_a_locked_range_delays_only_the_writes_of_its_rows(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine)
    await save(storage, "held")
    async with storage.transaction() as transaction:
        await save(transaction, "held", "by the transaction")
        [other, waiting] = start(save(storage, "warm"), storage.delete_sessions("s", start="h"))
        await asyncio.sleep(0.02)
        for number in range(3):  # would wait for ever if the delete blocked the queue
            await asyncio.gather(*(save(storage, f"a{each}", f"{number}") for each in range(5)))
        assert not waiting.done()
    await other
    assert await waiting == 2
    assert await storage.delete_sessions("s", [f"a{each}" for each in range(5)]) == 5


@several_writers
async def test_deletes_of_consecutive_ids_and_saves_of_the_same_traces_do_not_deadlock(engine: AsyncEngine) -> None:
    rows = [sample(TraceRow, trace_id=number) for number in range(1500)]
    # each with a queue of its own, as in several processes; without retries a deadlock would be an error
    storages = [SqlRepository(engine, retry=Retry(attempts=1)) for _ in range(4)]
    for _ in range(3):
        await storages[0].save_many(rows)
        await asyncio.gather(
            storages[0].save_many(rows[::-1]),
            storages[1].delete_traces(range(1500)),
            storages[2].delete_traces(range(300, 1400)),
            storages[3].delete_traces(range(0, 1500, 2)),
        )
    left = await storages[0].load_traces(9999)
    assert await storages[0].delete_traces(range(1500)) == len(left)
