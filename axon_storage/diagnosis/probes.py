"""The check that writes rows, and the tables that exist."""

import time
from statistics import median
from uuid import uuid4

from sqlalchemy import (
    Connection,
    TableClause,
    column,
    delete,
    insert,
    inspect,
    table,
)

from axon_storage.diagnosis.checks import MIGRATE
from axon_storage.engine.executor import Executor
from axon_storage.errors import StorageError
from axon_storage.model.findings import Finding, Status, ok_unless
from axon_storage.model.rows import SessionRow
from axon_storage.sql.tables import TABLES, metadata
from axon_storage.sql.unit_of_work import UnitOfWork

RESERVED_TENANT = "axon_storage doctor"
"""The tenant of the rows that :func:`probe_durable_write` writes and deletes."""

_SESSIONS = TABLES[SessionRow]
_WRITES = 5
_SLOW_WRITE = 0.1  # seconds


async def probe_durable_write(executor: Executor) -> Finding:
    """Measure the time of a transaction that inserts a row, deletes it and commits."""
    seconds: list[float] = []
    name = "durable write"
    try:
        existing = await executor.run("doctor", UnitOfWork(existing_tables, writes=False))
        if _SESSIONS.name not in [each.name for each in existing]:
            return Finding(name, Status.UNKNOWN, f"not measured, because there is no table {_SESSIONS.name}", MIGRATE)
        for _number in range(_WRITES):
            start = time.perf_counter()
            await executor.run("doctor", UnitOfWork(_write_and_delete, writes=True, tenants=(RESERVED_TENANT,)))
            seconds.append(time.perf_counter() - start)
    except StorageError as error:
        return Finding(name, Status.FAIL, str(error), "the account must be able to write to sessions")
    slow = "the log's disk is slow: group commit helps only calls that wait at the same time"
    took = median(seconds)
    found = f"{took * 1000:.1f} ms, the median of {_WRITES} transactions that insert and delete a row"
    return ok_unless(name, found, warn=slow if took > _SLOW_WRITE else "")


def existing_tables(connection: Connection) -> list[TableClause]:
    """Return those tables of this package that exist, with their actual columns, the key first."""
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    return [
        table(name, *[column(each["name"]) for each in inspector.get_columns(name)])
        for name in metadata.tables
        if name in names
    ]


def _write_and_delete(connection: Connection) -> None:
    values = dict.fromkeys(("scope", "value", "source_step"), "doctor") | {"key": str(uuid4())}
    connection.execute(insert(_SESSIONS).values(tenant_id=RESERVED_TENANT, **values))
    of_tenant, of_key = _SESSIONS.c.tenant_id == RESERVED_TENANT, _SESSIONS.c.key == values["key"]
    connection.execute(delete(_SESSIONS).where(of_tenant, _SESSIONS.c.scope == values["scope"], of_key))
