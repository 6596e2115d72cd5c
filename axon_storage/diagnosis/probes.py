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
from axon_storage.model.rows import SessionRow
from axon_storage.sql.rights import Role, rights_of
from axon_storage.sql.tables import TABLES, metadata
from axon_storage.sql.unit_of_work import UnitOfWork

RESERVED_TENANT = "axon_storage doctor"
"""The tenant of the rows that :func:`probe_durable_write` writes and deletes."""

_SESSIONS = TABLES[SessionRow]
_WRITES = 5
_SLOW_WRITE = 0.1  # seconds
_NEVER = literal_column("1") == literal_column("0")


async def probe_rights(executor: Executor) -> Finding:
    """Send a SELECT, INSERT, UPDATE and DELETE of no row to each table; a database checks the rights anyway.

    The account must have the rights that ``axon-storage migrate grants`` gives to an application.
    """
    needed = {each.table: each.verbs for each in rights_of([Role.APP], executor.dialect)}
    denied: dict[str, list[str]] = {}
    reason, has_all = "", True
    try:
        existing = await executor.run("doctor", UnitOfWork(_existing_tables, writes=False))
        for each in existing:
            for verb, statement in _statements(each):
                try:
                    await executor.run(
                        "doctor",
                        UnitOfWork(partial(_execute, statement), writes=verb != "SELECT", tenants=(RESERVED_TENANT,)),
                    )
                except StorageError as error:
                    has_all = False
                    if verb in needed[each.name]:
                        denied.setdefault(each.name, []).append(verb)
                        reason = reason or error.message
    except StorageError as error:
        return Finding("rights", Status.FAIL, str(error), "check the account")
    if denied:
        lines = "; ".join(f"{name}: no {', '.join(verbs)}" for name, verbs in denied.items())
        return Finding("rights", Status.FAIL, f"{lines} ({reason})", "grant these rights to the account")
    if not existing:
        return Finding("rights", Status.UNKNOWN, "not checked, because there are no tables", MIGRATE)
    found = "SELECT, INSERT, UPDATE, DELETE" if has_all else "those of an application, which cannot prune or erase,"
    return ok_unless("rights", f"{found} on {len(existing)} tables")


async def probe_durable_write(executor: Executor) -> Finding:
    """Measure the time of a transaction that inserts a row, deletes it and commits."""
    seconds: list[float] = []
    name = "durable write"
    try:
        existing = await executor.run("doctor", UnitOfWork(_existing_tables, writes=False))
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


def _write_and_delete(connection: Connection) -> None:
    values = dict.fromkeys(("scope", "value", "source_step"), "doctor") | {"key": str(uuid4())}
    connection.execute(insert(_SESSIONS).values(tenant_id=RESERVED_TENANT, **values))
    of_tenant, of_key = _SESSIONS.c.tenant_id == RESERVED_TENANT, _SESSIONS.c.key == values["key"]
    connection.execute(delete(_SESSIONS).where(of_tenant, _SESSIONS.c.scope == values["scope"], of_key))
