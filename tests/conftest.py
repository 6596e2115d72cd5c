"""The databases under test, one of each kind for the whole run, and what to say of those that are missing."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import Databases
from tests.servers import NOT_EXERCISED, SERVED, Servers

settings.register_profile(
    "axon",
    deadline=None,  # machines are shared and noisy
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("axon")

_passed: Counter[str] = Counter()


def pytest_configure() -> None:
    required = {name for name in os.environ.get("AXON_TEST_REQUIRE", "").replace(" ", "").split(",") if name}
    if unknown := required.difference(SERVED):
        raise pytest.UsageError(f"AXON_TEST_REQUIRE: no such server: {', '.join(unknown)}; there are {SERVED}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.stop()


@pytest.fixture(scope="session")
async def databases(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Databases]:
    known = Databases(servers, tmp_path_factory.mktemp("sqlite"))
    yield known
    await known.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        _passed.update(target for target in ("sqlite", "memory", *SERVED) if f"[{target}" in report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = ", ".join(f"{target} {count}" for target, count in sorted(_passed.items()))
    terminalreporter.write_line(f"passed on each database: {counts or 'none'}")
    for name, reason in NOT_EXERCISED.items():
        terminalreporter.write_line(f"!!! {name.upper()} WAS NOT EXERCISED: {reason}", red=True, bold=True)
