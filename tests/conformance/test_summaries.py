"""Summaries of costs and traces: exact counts and sums by flow, backend, status, UTC day and hour."""

from datetime import datetime
from typing import Any

import pytest

from axon_storage import (
    CostRow,
    InMemoryBackend,
    InvalidArgumentError,
    SerializationError,
)
from axon_storage.testing.pruning import OUTSIDE_UTC
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.summaries import *  # noqa: F403


async def test_the_backend_that_keeps_nothing_has_no_summaries() -> None:
    storage = InMemoryBackend()
    await storage.record_cost(sample(CostRow))
    assert await storage.summarize_costs(by="flow") == []
    assert await storage.summarize_traces(by=()) == []


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"by": "topic"}, "by must be 'flow', 'backend', "),
        ({"by": ("flow", 1)}, "by must be"),
        ({"by": None}, "by must be"),
        ({"by": {"flow"}}, "by must be"),
        ({"by": ["flow", "flow"]}, "a name twice"),
        ({"by": ("day", "hour")}, "both 'day' and 'hour'"),
        ({"by": "day", "since": datetime(2026, 1, 1)}, "since"),
        ({"by": "day", "until": OUTSIDE_UTC[1]}, "until"),
    ],
)
async def test_invalid_groups_and_periods_are_refused(options: dict[str, Any], place: str) -> None:
    storage = InMemoryBackend()
    for call in (storage.summarize_costs, storage.summarize_traces):
        with pytest.raises(InvalidArgumentError, match=place):
            await call(**options)
    with pytest.raises(InvalidArgumentError, match="by must be"):
        await storage.summarize_costs(by="status")
    with pytest.raises(SerializationError, match=r"cost_tracking\.flow_name"):
        await storage.summarize_costs(by="flow", flow="a" * 256)
