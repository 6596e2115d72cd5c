"""Retry: the options of retries, and the retry loop."""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from axon_storage.engine.timeouts import check_timeout
from axon_storage.engine.translation import BusyError, LockTimeoutError, TooLateError
from axon_storage.errors import InvalidArgumentError, StorageError

T = TypeVar("T")

_log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Retry:
    """The options of retries after transient errors. Pauses grow exponentially, with full jitter.

    ``attempts``: the maximum number of attempts, including the first. ``deadline``: seconds after which a failed call
    is not retried.
    """

    attempts: int = 8
    deadline: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidArgumentError("there must be at least one attempt")
        check_timeout(self.deadline)


async def run_with_retries(
    retry: Retry,
    attempt: Callable[[], Awaitable[T]],
    *,
    pause: float = 0.0,
    report: Callable[[int, float, StorageError], None] | None = None,
) -> T:
    """Call ``attempt`` until it succeeds, fails with an error that is not retried, or a limit is reached.

    ``pause``: seconds to wait before each retry, in addition to the exponential pause. ``report``: called before each
    retry with the number of the failed attempt, the seconds until the next one, and the error.
    """
    deadline = time.monotonic() + retry.deadline
    for number in itertools.count(1):
        try:
            return await attempt()
        except StorageError as error:
            last = number == retry.attempts or time.monotonic() > deadline
            if last or not error.transient or isinstance(error, BusyError | LockTimeoutError | TooLateError):
                raise
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**number)
            seconds = pause + random.uniform(0, longest)  # noqa: S311  # jitter
            _log_retry(error, number, retry.attempts, seconds)
            if report is not None:
                report(number, seconds, error)
        await asyncio.sleep(seconds)
    raise AssertionError("unreachable")


def _log_retry(error: StorageError, attempt: int, attempts: int, seconds: float) -> None:
    _log.info(
        "attempt %d of %d failed and is repeated: %s",
        attempt,
        attempts,
        error,
        extra={
            "storage_event": "retry",
            "operation": error.operation,
            "attempt": attempt,
            "attempts": attempts,
            "pause_seconds": seconds,
            "error_class": type(error).__name__,
            "code": error.code,
        },
    )
