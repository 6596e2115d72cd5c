"""The synchronous methods of AxonSaver and AxonStore, when the event loop in which the object was made does not run."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from axon_storage import InMemoryBackend
from axon_storage.integrations.langgraph import AxonSaver, AxonStore
from tests.integrations.checkpoints import config


async def _use_saver() -> Callable[[], object]:
    saver = AxonSaver(InMemoryBackend())
    assert await saver.aget_tuple(config()) is None
    return lambda: saver.get_tuple(config())


async def _list_with_saver() -> Callable[[], object]:
    saver = AxonSaver(InMemoryBackend())
    return lambda: list(saver.list(config()))


async def _use_store() -> Callable[[], object]:
    store = AxonStore(InMemoryBackend())
    assert await store.aget(("a",), "b") is None
    return lambda: store.get(("a",), "b")


Make = Callable[[], Coroutine[Any, Any, Callable[[], object]]]

each = pytest.mark.parametrize("make", [_use_saver, _list_with_saver, _use_store])


@each
def test_a_synchronous_method_is_refused_while_its_loop_does_not_run(make: Make) -> None:
    with asyncio.Runner() as runner:
        call = runner.run(make())
        with pytest.raises(asyncio.InvalidStateError, match="is not running: use the asynchronous methods"):
            call()


@each
def test_a_synchronous_method_is_refused_after_its_loop_was_closed(make: Make) -> None:
    call = asyncio.run(make())
    with pytest.raises(asyncio.InvalidStateError, match="is not running: use the asynchronous methods"):
        call()
