"""SIGTERM cancels the work of a command, as Ctrl-C does."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def cancelled_by_sigterm(work: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine. The first SIGTERM cancels the task of the caller; later ones do not disturb its cleanup."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received = False

    def cancel() -> None:
        nonlocal received
        if task is not None and not received:
            received = True
            task.cancel()

    if threading.current_thread() is threading.main_thread():  # others receive no signals
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signal.SIGTERM, cancel)
    return await work
