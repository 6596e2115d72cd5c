"""The health of a backend that only tells whether it is healthy, or that fails to tell."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from axon_storage.errors import StorageError
from axon_storage.model.health import Health, HealthReason, HealthReasonName


async def health_from(
    ask: Callable[[], Awaitable[bool | Health]],
    *,
    failed: HealthReasonName = HealthReasonName.CHECK_FAILED,
    seconds: float = 5.0,
) -> Health:
    """Ask a backend whether it is healthy, and return its health; never raise.

    After ``seconds`` without an answer it counts as unreachable. ``failed``: the name of the reason if the backend
    raises an error or answers False.
    """
    start = perf_counter()
    reasons: tuple[HealthReason, ...] = ()
    try:
        async with asyncio.timeout(seconds):
            answer = await ask()
        if isinstance(answer, Health):
            reasons = answer.reasons
        elif not answer:
            reasons = (HealthReason(failed, "is_healthy() is False, and this backend gives no reason"),)
    except TimeoutError:
        reasons = (HealthReason(HealthReasonName.UNREACHABLE, f"no answer within {seconds:g} s"),)
    except StorageError as error:
        reasons = (HealthReason(failed, error.message),)
    except Exception as error:  # its text may contain a secret
        reasons = (HealthReason(failed, type(error).__name__),)
    return Health(reasons, perf_counter() - start)
