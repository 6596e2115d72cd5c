"""Retries of transient errors."""

import logging

import pytest

from axon_storage import Retry, StorageConnectionError
from axon_storage.engine.retry import run_with_retries


async def test_each_repeated_attempt_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failures = [StorageConnectionError("lost", transient=True), StorageConnectionError("refused", transient=True)]

    async def attempt() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    assert await run_with_retries(Retry(attempts=5), attempt) == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "attempt 1 of 5 failed and is repeated: connection error: lost",
        "attempt 2 of 5 failed and is repeated: connection error: refused",
    ]


async def test_the_last_attempt_is_not_logged_but_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def attempt() -> None:
        raise StorageConnectionError("lost", transient=True)

    with pytest.raises(StorageConnectionError):
        await run_with_retries(Retry(attempts=1), attempt)
    assert caplog.records == []
