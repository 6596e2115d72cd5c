"""Entries of a scope with given keys are read in one call."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import InvalidArgumentError, SerializationError, SqlRepository
from axon_storage.testing.suite.given_keys import *  # noqa: F403


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
