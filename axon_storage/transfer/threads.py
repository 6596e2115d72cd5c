"""Runs blocking calls on files in a thread."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *arguments: Any, stop: Callable[[], object] | None = None) -> T:
    """Run a function in a thread. If the task is cancelled, wait for the function's end, since it uses a file.

    ``stop``: called before that wait, to end a function that waits for a pipe.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    cancellation: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as cancelled:  # also a second one
            cancellation = cancelled
            if stop is not None:
                stop()
    if cancellation is not None:
        work.exception()  # asyncio logs an error that nobody retrieves
        raise cancellation
    return work.result()
