"""The memory that a call takes in a new process, where no earlier test left anything behind."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

MEBIBYTE = 2**20


async def peak(call: Callable[..., Awaitable[object]], *arguments: object) -> float:
    """Return the most memory that Python's objects took during a call, in MiB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return await asyncio.get_running_loop().run_in_executor(processes, _peak, call, arguments)


def _peak(call: Callable[..., Awaitable[object]], arguments: tuple[object, ...]) -> float:
    async def run() -> None:
        await call(*arguments)

    tracemalloc.start()
    asyncio.run(run())
    return tracemalloc.get_traced_memory()[1] / MEBIBYTE
