"""The health of a backend that only tells whether it is healthy, or that fails to tell."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from axon_storage.errors import StorageError
from axon_storage.model.health import Health, HealthReason, HealthReasonName

_SECONDS = 5


async def health_from(
    ask: Callable[[], Awaitable[bool | Health]], failed: HealthReasonName = HealthReasonName.CHECK_FAILED
) -> Health:
    """Ask a backend, for at most 5 seconds, and return its health; never raise.

    ``failed``: the name of the reason if the backend raises an error or answers False.
    """
    start = perf_counter()
    reasons: tuple[HealthReason, ...] = ()
    try:
        async with asyncio.timeout(_SECONDS):
            answer = await ask()
        if isinstance(answer, Health):
            reasons = answer.reasons
        elif not answer:
            reasons = (HealthReason(failed, "is_healthy() is False, and this backend gives no reason"),)
    except TimeoutError:
        reasons = (HealthReason(HealthReasonName.UNREACHABLE, f"no answer within {_SECONDS} s"),)
    except StorageError as error:
        reasons = (HealthReason(failed, error.message),)
    except Exception as error:  # its text may contain a secret
        reasons = (HealthReason(failed, type(error).__name__),)
    return Health(reasons, perf_counter() - start)
