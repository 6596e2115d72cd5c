"""The memory that a step takes."""

import gc
import tracemalloc
from collections.abc import Awaitable

MEBIBYTE = 2**20


async def peak(step: Awaitable[object]) -> float:
    """Return the most memory that Python's objects took during a step, in MiB."""
    gc.collect()
    gc.freeze()  # Python collects rarely beside many old objects, such as those of earlier tests
    tracemalloc.start()
    try:
        await step
        return tracemalloc.get_traced_memory()[1] / MEBIBYTE
    finally:
        tracemalloc.stop()
        gc.unfreeze()
