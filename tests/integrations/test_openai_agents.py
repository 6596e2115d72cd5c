"""AxonSession: the items of a conversation."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from agents import Session, SessionSettings

from axon_storage import (
    InvalidArgumentError,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    open_storage,
)
from axon_storage.integrations.keys import scope_of
from axon_storage.integrations.openai_agents import KIND, AxonSession
from axon_storage.model.ids import IdSource

ODD_IDS = ["", " ", "a", "A", "a ", "a\0", "\ud800", "é", "e\u0301", "x" * 1000, "x" * 1001]


def items(*texts: object) -> list[Any]:
    return [{"role": "user", "content": str(text)} for text in texts]


def texts(found: Sequence[Any]) -> list[str]:
    return [item["content"] for item in found]


def test_it_is_a_session_of_the_package() -> None:
    session = AxonSession("id", object.__new__(SqlRepository))
    assert isinstance(session, Session)
    assert session.session_id == "id"


async def test_items_come_back_in_the_order_of_adding(repository: SqlRepository) -> None:
    session = AxonSession("id", repository)
    assert await session.get_items() == []
    await session.add_items(items(*range(300)))
    await session.add_items([])
    await session.add_items(items(300))
    assert texts(await session.get_items()) == [str(number) for number in range(301)]
    assert texts(await AxonSession("id", repository).get_items(3)) == ["298", "299", "300"]
    assert await session.get_items(0) == []


async def test_the_limit_of_the_settings_is_the_default(repository: SqlRepository) -> None:
    session = AxonSession("id", repository, session_settings=SessionSettings(limit=2))
    await session.add_items(items(*"abc"))
    assert texts(await session.get_items()) == ["b", "c"]
    assert texts(await session.get_items(3)) == ["a", "b", "c"]
    session.session_settings = SessionSettings()
    assert texts(await session.get_items()) == ["a", "b", "c"]


async def test_any_item_of_json_is_read_exactly(repository: SqlRepository) -> None:
    odd = [
        {"text": "\0 ☕ \U0001f643 \ud800 é e\u0301 ' \" \\ \x01 \x7f \u2028"},
        {"numbers": [2**80, -1, 1.0, 1, 1e300, -0.0, 0.1], "none": None, "bools": [True, False]},
        {"": {"": []}, "b": 1, "a": 2, "deep": [[[[[{}]]]]]},
        "a text",
        ["a list"],
    ]
    session: Any = AxonSession("id", repository)
    await session.add_items(odd)
    assert repr(await session.get_items()) == repr(odd)


async def test_sessions_with_any_ids_and_of_several_tenants_are_separate(repository: SqlRepository) -> None:
    storages = [repository.for_tenant("one"), repository.for_tenant("other")]
    sessions = [AxonSession(session_id, storage) for storage in storages for session_id in ODD_IDS]
    for number, session in enumerate(sessions):
        await session.add_items(items(number, "last"))
    for number, session in enumerate(sessions):
        await session.pop_item()
        assert texts(await session.get_items()) == [str(number)]
        await session.clear_session()
        assert await session.get_items() == []
    assert await storages[0].session_scopes() == []


async def test_a_call_that_is_refused_stores_nothing(repository: SqlRepository) -> None:
    session: Any = AxonSession("id", repository)
    with pytest.raises(SerializationError, match="add_items: item 1 is not JSON: Object of type object"):
        await session.add_items([*items("a"), {"content": object()}])
    with pytest.raises(SerializationError, match="bytes of text and JSON in one row, at most"):
        await session.add_items(items("a", "x" * 8 * 2**20))
    with pytest.raises(InvalidArgumentError, match="limit"):
        await session.get_items(-1)
    with pytest.raises(InvalidArgumentError, match="session_id must be a str, not a int"):
        AxonSession(7, repository)  # type: ignore[arg-type]
    assert await session.get_items() == []


async def test_pop_returns_the_last_item_and_then_none(repository: SqlRepository) -> None:
    session = AxonSession("x" * 1000, repository)
    assert await session.pop_item() is None
    await session.add_items(items("a", "b"))
    assert [await session.pop_item() for _ in range(3)] == [*items("b", "a"), None]
    await session.add_items(items("c"))
    assert texts(await session.get_items()) == ["c"]


async def test_concurrent_calls_of_pop_never_get_the_same_item(repository: SqlRepository, url: str) -> None:
    await AxonSession("id", repository).add_items(items(*range(20)))
    async with open_storage(url) as elsewhere:  # stands for another process
        storages: list[StorageBackend] = [repository, elsewhere]
        popped = await asyncio.gather(*(AxonSession("id", storages[n % 2]).pop_item() for n in range(32)))
    assert Counter(texts([item for item in popped if item])) == Counter(str(number) for number in range(20))


async def test_the_items_of_a_call_stay_together_beside_other_writers(repository: SqlRepository, url: str) -> None:
    async with open_storage(url) as elsewhere:  # stands for another process
        storages: list[StorageBackend] = [repository, elsewhere]

        async def add(writer: int) -> None:
            session = AxonSession("id", storages[writer % 2])
            for call in range(5):
                await session.add_items(items(*(f"{writer} {call} {position}" for position in range(3))))

        await asyncio.gather(*(add(writer) for writer in range(8)))
    found = texts(await AxonSession("id", repository).get_items())
    assert len(found) == 8 * 5 * 3
    calls = [found[start : start + 3] for start in range(0, len(found), 3)]
    assert all(call == [f"{call[0][:-1]}{position}" for position in range(3)] for call in calls)
    for writer in range(8):  # a writer's calls are in their order
        own = [text for text in found if text.startswith(f"{writer} ")]
        assert own == sorted(own)


async def test_an_item_is_added_after_those_that_were_read_even_if_their_clock_was_ahead(
    repository: SqlRepository,
) -> None:
    await _add_ahead(repository, *"ab")
    session = AxonSession("id", repository)
    assert texts(await session.get_items(1)) == ["b"]
    await session.add_items(items("c", "d"))
    await session.add_items(items("e"))
    assert texts(await session.get_items()) == ["a", "b", "c", "d", "e"]


async def test_an_item_is_added_after_those_before_one_that_was_popped_even_if_their_clock_was_ahead(
    repository: SqlRepository,
) -> None:
    await _add_ahead(repository, *"ab")
    session = AxonSession("id", repository)
    assert await session.pop_item() == {"content": "b"}
    await session.add_items(items("c"))
    assert texts(await session.get_items()) == ["a", "c"]
    assert await session.pop_item() == items("c")[0]


async def _add_ahead(storage: StorageBackend, *contents: str) -> None:
    """Store items as a process does whose clock is an hour ahead."""
    new_id = IdSource(lambda: time.time_ns() + 3600 * 10**9)
    for content in contents:
        value = json.dumps({"content": content})
        row = SessionRow(scope=scope_of(KIND, "id"), key=f"{new_id().hex}000000", value=value, source_step="")
        await storage.save_session(row)


async def test_clear_deletes_whole_calls_beside_writers(repository: SqlRepository) -> None:
    session = AxonSession("id", repository)

    async def add() -> None:
        for _ in range(10):
            await session.add_items(items(*range(7)))

    async def clear() -> None:
        for _ in range(10):
            await session.clear_session()
            counts.append(len(await session.get_items()))

    counts: list[int] = []
    await asyncio.gather(add(), add(), clear())
    assert {count % 7 for count in counts} == {0}
    await session.clear_session()
    assert await session.get_items() == []


async def test_a_session_in_a_transaction_is_rolled_back_with_it(repository: SqlRepository) -> None:
    class GivenUpError(Exception):
        pass

    session = AxonSession("id", repository)
    await session.add_items(items("a"))
    with pytest.raises(GivenUpError):
        async with repository.transaction() as transaction:
            inside = AxonSession("id", transaction)
            assert await inside.pop_item() == items("a")[0]
            await inside.add_items(items("b"))
            raise GivenUpError
    assert texts(await session.get_items()) == ["a"]


async def test_pruning_without_a_scope_deletes_the_items_of_sessions_too(repository: SqlRepository) -> None:
    session, after_all = AxonSession("id", repository), datetime.now(UTC) + timedelta(hours=1)
    await session.add_items(items("a"))
    await repository.save_session(SessionRow(scope="mine", key="k", value="v", source_step=""))
    assert await repository.prune_sessions(after_all, scope="mine") == 1
    assert texts(await session.get_items()) == ["a"]
    assert await repository.prune_sessions(after_all) == 1
    assert await session.get_items() == []
