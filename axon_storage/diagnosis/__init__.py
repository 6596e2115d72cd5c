"""Checks of a database, which find what is missing, wrong or dangerous."""

from collections.abc import AsyncIterator
from functools import partial

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage.diagnosis import checks
from axon_storage.diagnosis.checks import Check
from axon_storage.diagnosis.probes import probe_durable_write
from axon_storage.diagnosis.rights import probe_rights
from axon_storage.dialects import dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.engine.executor import Executor
from axon_storage.engine.retry import Retry
from axon_storage.engine.url import hidden
from axon_storage.errors import StorageConnectionError, StorageError
from axon_storage.model.findings import Finding, Status
from axon_storage.sql.unit_of_work import UnitOfWork

_OWN_CONNECTIONS = 3  # group commit opens two, and is_healthy() one
_SECONDS_OF_A_CHECK = 30.0

_ESSENTIAL = frozenset({"reachable", "read-only", "schema", "tables"})
"""The checks that fail if the database refuses their queries; the others are unknown then."""


async def diagnose(url: str, *, pool_size: int = 15, max_overflow: int = 0) -> AsyncIterator[Finding]:
    """Check a database, and yield the findings.

    It writes rows of a reserved tenant, and deletes them; nothing else changes. ``pool_size``, ``max_overflow``: those
    of the application, for the check of free connections. An error of a check becomes a finding. If the database cannot
    be reached, that is the only finding.
    """
    url = hidden(url)
    try:
        engine = create_engine(url, pool_size=1)
    except StorageError as refused:
        yield Finding("URL", Status.FAIL, str(refused), "correct the database URL")
        return
    try:
        async for finding in _diagnose(engine, pool_size + max_overflow + _OWN_CONNECTIONS):
            yield finding
    finally:
        await engine.dispose()


async def _diagnose(engine: AsyncEngine, connections: int) -> AsyncIterator[Finding]:
    if (missing := dialect_of(engine.dialect).missing_file(make_url(engine.url))) is not None:
        yield Finding("reachable", Status.FAIL, f"there is no file {missing}", "correct the database URL")
        return
    executor = Executor(engine, retry=Retry(attempts=1), timeout=_SECONDS_OF_A_CHECK)
    reached = await _run(executor, "reachable", checks.round_trips)
    for finding in reached:
        yield finding
    if any(finding.status is Status.FAIL for finding in reached):
        return
    for name, check in _checks(connections):
        for finding in await _run(executor, name, check):
            yield finding
    for finding in await probe_rights(executor):
        yield finding
    yield await probe_durable_write(executor)


def _checks(connections: int) -> list[tuple[str, Check]]:
    return [
        ("server version", checks.server_version),
        ("driver version", checks.driver_version),
        ("read-only", checks.read_only),
        ("durability", checks.durability),
        ("settings", checks.settings),
        ("clock", checks.clock),
        ("connections", partial(checks.connections, needed=connections)),
        ("pooler", checks.pooler),
        ("schema", checks.schema_revision),
        ("tables", checks.tables),
        ("dead space", checks.dead_space),
        ("row-level security", checks.row_security),
        ("distribution", checks.distributed),
    ]


async def _run(executor: Executor, name: str, check: Check) -> list[Finding]:
    """Run a check in a transaction that only reads; return its findings, or its error as a finding."""
    unit = UnitOfWork(lambda connection: list(check(connection)), writes=False)
    try:
        return await executor.run("doctor", unit)
    except StorageConnectionError as error:
        return [Finding(name, Status.FAIL, str(error), "check the address, the account and the server")]
    except StorageError as error:
        status = Status.FAIL if name in _ESSENTIAL else Status.UNKNOWN
        return [Finding(name, status, str(error), "this account may lack the right to read it")]
