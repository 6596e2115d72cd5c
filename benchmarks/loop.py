"""The event loop that all contenders run on, and the garbage collector kept from passes over what was imported."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Give uvloop's where it is installed, else Python's own."""
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop  # type: ignore[no-any-return, unused-ignore]  # untyped where it is missing


def run(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def freeze() -> None:
    """Take all there is out of the collector's sight: heavy imports would make its passes long, and short runs odd."""
    gc.collect()
    gc.freeze()
