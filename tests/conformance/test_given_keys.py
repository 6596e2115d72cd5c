"""Entries of a scope with given keys are read in one call."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import InvalidArgumentError, SerializationError, SessionRow, SqlRepository, StorageBackend
from axon_storage.testing.samples import sample
from tests.conformance.test_saves import DISTINCT


async def test_the_entries_with_given_keys_are_loaded_by_code_point(storage: StorageBackend, tenant: str) -> None:
    keys = [*DISTINCT, "\x01", "🙃"]
    entries = {key: sample(SessionRow, tenant, scope="s", key=key) for key in keys}
    await storage.save_many([*entries.values(), sample(SessionRow, tenant, scope="s ", key="other")])
    asked = [*keys[::2], keys[0], "other", "unknown"]
    expected = [entries[key] for key in sorted(set(keys[::2]))]
    assert await storage.load_sessions("s", iter(asked)) == expected
    assert await storage.load_sessions("s", asked, reverse=True) == expected[::-1]
    async with storage.transaction() as transaction:
        assert await transaction.load_sessions("s", asked) == expected


async def test_any_number_of_keys_is_loaded(repository: SqlRepository) -> None:
    entries = [sample(SessionRow, scope="s", key=f"{number:04}") for number in range(1500)]
    await repository.save_many(entries)
    asked = [entry.key for entry in entries]
    assert await repository.load_sessions("s", asked) == entries
    assert await repository.load_sessions("s", asked, reverse=True) == entries[::-1]


@pytest.mark.parametrize(
    ("keys", "options", "error", "message"),
    [
        ("abc", {}, InvalidArgumentError, "keys must be an iterable of keys, not a str"),
        (["a"], {"start": "a"}, InvalidArgumentError, "keys cannot be combined with start and end and limit"),
        ([], {"limit": 1}, InvalidArgumentError, "keys cannot be combined with start and end and limit"),
        (["a\0"], {}, SerializationError, "sessions.key: U\\+0000"),
        (["a"], {"reverse": 1}, InvalidArgumentError, "reverse must be True or False"),
    ],
)
async def test_invalid_keys_are_refused_before_anything_is_sent(
    repository: SqlRepository,
    engine: AsyncEngine,
    keys: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        with pytest.raises(error, match=f"load_sessions: {message}"):
            await repository.load_sessions("s", keys, **options)
        assert await repository.load_sessions("s", []) == []
        assert sent == []
        await repository.load_sessions("s", ["a"])
        assert len(sent) >= 1
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
