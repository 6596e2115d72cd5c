"""The event loop of all contenders, and the settings of the garbage collector."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a loop of uvloop if it is installed, else Python's own."""
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop  # type: ignore[no-any-return, unused-ignore]  # untyped if it is not installed


def run(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def freeze() -> None:
    """Exempt all present objects from garbage collection; with many imports its passes would distort short runs."""
    gc.collect()
    gc.freeze()
