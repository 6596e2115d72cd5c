"""LangGraph's own conformance suite for checkpointers, test by test."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from langgraph.checkpoint.conformance import spec
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES, DetectedCapabilities

from axon_storage.integrations.langgraph import AxonSaver

Test = Callable[[AxonSaver], Awaitable[None]]


def _tests() -> Iterator[Any]:
    for module in pkgutil.iter_modules(spec.__path__):
        names = vars(importlib.import_module(f"{spec.__name__}.{module.name}"))
        [tests] = [found for name, found in names.items() if name.startswith("ALL_")]
        yield from (pytest.param(test, id=f"{module.name.removeprefix('test_')}-{test.__name__}") for test in tests)


SUITE = list(_tests())


@pytest.mark.parametrize("test", SUITE)
async def test_the_conformance_suite(saver: AxonSaver, test: Test) -> None:
    await test(saver)


def test_the_saver_has_every_capability_of_the_suite(saver: AxonSaver) -> None:
    assert DetectedCapabilities.from_instance(saver).detected == ALL_CAPABILITIES
    assert len(SUITE) >= 81
