"""The checks that try something: statements of each kind that change no row, and durable writes."""

import time
from collections.abc import Iterator
from functools import partial
from statistics import median
from uuid import uuid4

from sqlalchemy import (
    Connection,
    Executable,
    TableClause,
    column,
    delete,
    insert,
    inspect,
    literal_column,
    select,
    table,
    update,
)

from axon_storage.diagnosis.checks import MIGRATE
from axon_storage.engine.executor import Executor
from axon_storage.errors import StorageError
from axon_storage.model.findings import Finding, Status, ok_unless
from axon_storage.sql.tables import metadata, pruning
from axon_storage.sql.unit_of_work import UnitOfWork

RESERVED_TENANT = "axon_storage doctor"
"""The tenant of the rows that :func:`probe_durable_write` writes and deletes."""

_WRITES = 5
_SLOW_WRITE = 0.1  # seconds
_NEVER = literal_column("1") == literal_column("0")


async def probe_rights(executor: Executor) -> Finding:
    """Send a SELECT, INSERT, UPDATE and DELETE of no row to each table; a database checks the rights anyway."""
    denied: dict[str, list[str]] = {}
    reason = ""
    try:
        existing = await executor.run("doctor", UnitOfWork(_existing_tables, writes=False))
        for each in existing:
            for verb, statement in _statements(each):
                try:
                    await executor.run("doctor", UnitOfWork(partial(_execute, statement), writes=verb != "SELECT"))
                except StorageError as error:
                    denied.setdefault(each.name, []).append(verb)
                    reason = reason or error.message
    except StorageError as error:
        return Finding("rights", Status.FAIL, str(error), "check the account")
    if denied:
        lines = "; ".join(f"{name}: no {', '.join(verbs)}" for name, verbs in denied.items())
        return Finding("rights", Status.FAIL, f"{lines} ({reason})", "grant these rights to the account")
    if not existing:
        return Finding("rights", Status.UNKNOWN, "not checked, because there are no tables", MIGRATE)
    return ok_unless("rights", f"SELECT, INSERT, UPDATE, DELETE on {len(existing)} tables")


async def probe_durable_write(executor: Executor) -> Finding:
    """Measure the time of inserting and committing a row, which is then deleted."""
    seconds: list[float] = []
    name = "durable write"
    try:
        existing = await executor.run("doctor", UnitOfWork(_existing_tables, writes=False))
        if pruning.name not in [each.name for each in existing]:
            return Finding(name, Status.UNKNOWN, f"not measured, because there is no table {pruning.name}", MIGRATE)
        try:
            for _number in range(_WRITES):
                row = {"tenant_id": RESERVED_TENANT, "table_name": str(uuid4())}
                start = time.perf_counter()
                await executor.run("doctor", UnitOfWork(partial(_execute, insert(pruning).values(row)), writes=True))
                seconds.append(time.perf_counter() - start)
        finally:
            await executor.run("doctor", UnitOfWork(_delete_rows, writes=True))
    except StorageError as error:
        return Finding(name, Status.FAIL, str(error), "the account must be able to write to axon_storage_pruning")
    slow = "the log's disk is slow: group commit helps only calls that wait at the same time"
    took = median(seconds)
    found = f"{took * 1000:.1f} ms, the median of {_WRITES} inserted, committed and deleted rows"
    return ok_unless(name, found, warn=slow if took > _SLOW_WRITE else "")


def _existing_tables(connection: Connection) -> list[TableClause]:
    """Return those tables of this package that exist, with their actual columns, the key first."""
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    return [
        table(name, *[column(each["name"]) for each in inspector.get_columns(name)])
        for name in metadata.tables
        if name in names
    ]


def _statements(each: TableClause) -> Iterator[tuple[str, Executable]]:
    last = list(each.c)[-1]
    yield "SELECT", select(each).where(_NEVER)
    yield "INSERT", insert(each).from_select(list(each.c.keys()), select(each).where(_NEVER))
    yield "UPDATE", update(each).values({last: last}).where(_NEVER)
    yield "DELETE", delete(each).where(_NEVER)


def _execute(statement: Executable, connection: Connection) -> None:
    connection.execute(statement)


def _delete_rows(connection: Connection) -> None:
    connection.execute(delete(pruning).where(pruning.c.tenant_id == RESERVED_TENANT))
