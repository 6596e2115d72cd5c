"""Fixtures and hooks: one database of each kind for the whole run, and a report of those that are missing."""

import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import create_engine
from axon_storage.model.rows import ROW_TYPES
from tests.databases import POOLERS, REQUIRED, TARGETS, Databases
from tests.doses import is_in_dose
from tests.servers import GIVEN, NEEDED, NOT_EXERCISED, Servers

settings.register_profile(
    "axon",
    deadline=None,  # machines are shared and noisy
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("axon")

_passed: Counter[str] = Counter()


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # so in a background job of a shell, and the commands that tests start and interrupt would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if unknown := REQUIRED.difference(NEEDED):
        raise pytest.UsageError(f"AXON_TEST_REQUIRE: unknown: {', '.join(unknown)}; there are {', '.join(NEEDED)}")
    if "oracle" in REQUIRED.difference(GIVEN):
        raise pytest.UsageError("AXON_TEST_REQUIRE: oracle is required here, and AXON_TEST_ORACLE_URL is not set")


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not _is_in_dose(item)]
    if left_out:
        without = set(left_out)
        items[:] = [item for item in items if item not in without]
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        target = _target_of(item)
        if target:  # each server is started by one worker, which runs all tests on it
            item.add_marker(pytest.mark.xdist_group(target.partition("-asyncmy")[0]))
        for mark in item.iter_markers("not_on"):
            if target.startswith(mark.args[0]):
                item.add_marker(pytest.mark.skip(f"{mark.args[0]}: {mark.args[1]}"))
        for mark in item.iter_markers("fails_on"):
            if target.startswith(mark.args[0]):
                item.add_marker(pytest.mark.xfail(reason=f"{mark.args[0]}: {mark.args[1]}"))


def _is_in_dose(item: pytest.Item) -> bool:
    target = _target_of(item)
    return not target or is_in_dose(item.nodeid, target, _parameter(item, "tenant"), _row_type_of(item))


def _target_of(item: pytest.Item) -> str:
    """Return the database that a test runs on, or an empty string."""
    return _parameter(item, "target")


def _row_type_of(item: pytest.Item) -> str:
    """Return the name of the row type that a test is about, or an empty string."""
    found = (
        item.callspec.params.get("row_type") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ""
    )
    return found.__name__ if found in ROW_TYPES else ""


def _parameter(item: pytest.Item, name: str) -> str:
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        return str(item.callspec.params.get(name, ""))
    return ""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the test processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.stop()


@pytest.fixture(scope="session")
async def known_databases(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Databases]:
    known = Databases(servers, tmp_path_factory.mktemp("sqlite"))
    yield known
    await known.close()


@pytest.fixture
async def databases(known_databases: Databases) -> AsyncIterator[Databases]:
    yield known_databases
    await known_databases.drop()


@pytest.fixture
def role() -> str:
    """The account that uses the target's database, as in :meth:`Databases.ready`."""
    return "owner"


@pytest.fixture
async def url(databases: Databases, target: str, role: str) -> str:
    """The URL of the target's database, with the schema and empty tables."""
    return (await databases.ready(target, role))[0]


@pytest.fixture
async def engine(databases: Databases, target: str, role: str) -> AsyncEngine:
    """An engine on the database of ``url``."""
    return (await databases.ready(target, role))[1]


@pytest.fixture
async def single_connection(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on the database of ``url`` that has one connection."""
    made = create_engine(url, pool_size=1, max_overflow=0)
    yield made
    await made.dispose()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        # the longest name, because one name may be the start of another
        ran_on = [
            target
            for target in ("memory", *TARGETS, *POOLERS)
            if re.search(rf"\[{re.escape(target)}[]-]", report.nodeid)
        ]
        _passed.update(sorted(ran_on, key=len)[-1:])


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["not_exercised"] = NOT_EXERCISED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    NOT_EXERCISED.update(getattr(node, "workeroutput", {}).get("not_exercised", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = ", ".join(f"{target} {count}" for target, count in sorted(_passed.items()))
    terminalreporter.write_line(f"passed on each database: {counts or 'none'}")
    for name, reason in NOT_EXERCISED.items():
        terminalreporter.write_line(f"!!! {name.upper()} WAS NOT EXERCISED: {reason}", red=True, bold=True)
