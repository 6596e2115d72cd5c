"""The example for Prometheus: it serves every metric that the dashboard, the alerts and the documentation query."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.databases import Databases
from tests.promql import OF_PROMETHEUS, expressions, groupings, selectors

ROOT = Path(__file__).parents[1]
HORIZON = 3.0  # seconds, shortened, so that the example's event is late sooner

RUN = f"""
import runpy, sys
from axon_storage.engine.executor import Executor
Executor.append_horizon = {HORIZON}
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SCRIPT = "examples/observability/prometheus.py"
ARGUMENTS = [SCRIPT, "--port", "0", "--tasks", "8", "--trouble", "--late", str(HORIZON + 0.5)]
LATEST = "axon_storage_late_rollbacks_total"
"""The metric that appears last."""


@contextmanager
def example(url: str) -> Iterator[str]:
    """Run the example on a database, and yield the address of its metrics."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN, *ARGUMENTS],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        assert (process.returncode, "Traceback" in errors) == (0, False), errors


def scrape(address: str) -> list[Sample]:
    """Read the metrics as Prometheus does, as soon as all of them are there."""
    end = time.monotonic() + 60
    while True:
        with urlopen(address) as answer:  # noqa: S310  # the example's own address
            text = answer.read().decode()
        if LATEST in text or time.monotonic() > end:
            return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        time.sleep(0.2)


def missing(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the selectors that select nothing, and the labels of groups that no metric has."""
    labels: dict[str, set[str]] = {}
    for sample in samples:
        labels.setdefault(sample.name, set(OF_PROMETHEUS)).update(sample.labels)
    for place, expression in expressions().items():
        for selector in selectors(expression):
            if not any(selector.selects(sample) for sample in samples):
                yield f"{place}: {selector.metric} {[str(matcher) for matcher in selector.matchers]}"
        for metrics, kept in groupings(expression):
            for metric in metrics:
                yield from (f"{place}: {metric} by ({label})" for label in kept - labels.get(metric, set()))


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_every_query_selects_metrics_of_the_example(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    with example(url) as address:
        samples = await asyncio.to_thread(scrape, address)
    assert not list(missing(samples))


def test_a_query_for_another_metric_or_label_is_noticed() -> None:
    sample = Sample("db_client_connection_max", {"db_client_connection_pool_name": "agents"}, 15)
    assert len(list(missing([sample]))) > len(expressions())
