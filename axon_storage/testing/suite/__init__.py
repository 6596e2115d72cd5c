"""The conformance suite: a test for each promise of the contract that any backend can keep.

It needs one fixture, ``storage``: an open storage without rows. In a test module::

    from axon_storage.testing.suite import *

imports every test. ``from axon_storage.testing.suite.saves import *`` imports those of one subject.
"""

from inspect import iscoroutinefunction
from types import FunctionType

try:
    import pytest
    import pytest_asyncio  # noqa: F401  # runs the tests

    from axon_storage.testing.suite import (
        beside_transactions,
        cache,
        concurrency,
        creates,
        delete_ranges,
        erasing,
        follow,
        given_keys,
        health,
        iterators,
        many,
        order,
        order_of_writes,
        pruned_ids,
        pruning,
        ranges,
        recorded,
        refusals,
        reverse_iterators,
        round_trip,
        saves,
        scans,
        stats,
        summaries,
        tenants,
    )
except ModuleNotFoundError as missing:
    message = f'the conformance suite needs the module {missing.name}: pip install "axon-storage[testing]"'
    raise ModuleNotFoundError(message, name=missing.name) from None

MODULES = (
    *(beside_transactions, cache, concurrency, creates, delete_ranges, erasing, follow, given_keys, health, iterators),
    *(many, order, order_of_writes, pruned_ids, pruning, ranges, recorded, refusals, reverse_iterators, round_trip),
    *(saves, scans, stats, summaries, tenants),
)
"""The modules of the suite, one for each subject."""

TESTS: dict[str, FunctionType] = {}
"""Every test, by its name."""

for _module in MODULES:
    _names = [name for name in vars(_module) if name.startswith("test_")]
    for _name in _names:
        _test = getattr(_module, _name)
        _inner = _test.hypothesis.inner_test if hasattr(_test, "hypothesis") else _test
        if iscoroutinefunction(_inner):  # so that the tests also run in the strict mode of pytest-asyncio
            _test = pytest.mark.asyncio(_test)
        if TESTS.setdefault(_name, _test) is not _test:
            raise ImportError(f"two tests of the suite have the name {_name}")
    _module.__all__ = _names  # type: ignore[attr-defined]  # for `import *`

globals().update(TESTS)
__all__ = list(TESTS)
