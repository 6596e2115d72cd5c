"""The checks of the account: which of an application's rights it lacks, and what it may do beyond them."""

from collections.abc import Iterable, Iterator
from functools import partial

from sqlalchemy import Connection, Executable, TableClause, delete, insert, literal_column, select, update

from axon_storage.diagnosis.checks import MIGRATE
from axon_storage.diagnosis.probes import existing_tables
from axon_storage.engine.executor import Executor
from axon_storage.errors import StorageError
from axon_storage.model.findings import Finding, Status, ok_unless
from axon_storage.sql.rights import Role, rights_of
from axon_storage.sql.tables import metadata
from axon_storage.sql.unit_of_work import UnitOfWork

_NEVER = literal_column("1") == literal_column("0")
_GRANTS = "use an account with the rights that `axon-storage migrate grants` writes"


class Rights:
    """The rights of the account on the tables, compared with those of an application. ``tables``: those that exist.

    A SELECT, INSERT, UPDATE and DELETE of no row is sent to each table; a database checks the rights anyway.
    """

    def __init__(self, executor: Executor, tables: Iterable[TableClause]) -> None:
        self._executor, self._tables = executor, list(tables)
        self._missing: dict[str, list[str]] = {}
        self._unneeded: dict[str, list[str]] = {}
        self._reason, self._has_all = "", True

    async def probe(self) -> None:
        """Try each statement on each table."""
        needed = {each.table: each.verbs for each in rights_of([Role.APP], self._executor.dialect)}
        for table in self._tables:
            for verb, statement in _statements(table):
                refused = await self._refused(verb, statement)
                self._has_all = self._has_all and not refused
                if refused and verb in needed[table.name]:
                    self._missing.setdefault(table.name, []).append(verb)
                    self._reason = self._reason or refused
                elif not refused and verb not in needed[table.name]:
                    self._unneeded.setdefault(verb, []).append(table.name)

    @property
    def missing(self) -> Finding:
        """The finding about rights that the account lacks."""
        if self._missing:
            lines = "; ".join(f"{name}: no {', '.join(verbs)}" for name, verbs in self._missing.items())
            return Finding("rights", Status.FAIL, f"{lines} ({self._reason})", "grant these rights to the account")
        if not self._tables:
            return Finding("rights", Status.UNKNOWN, "not checked, because there are no tables", MIGRATE)
        of_application = f"those of an application, {'and more' if self._unneeded else 'which cannot prune or erase'},"
        found = "SELECT, INSERT, UPDATE, DELETE" if self._has_all else of_application
        return ok_unless("rights", f"{found} on {len(self._tables)} tables")

    @property
    def unneeded(self) -> list[str]:
        """What the account may do with the tables, and an application does not need."""
        return [f"{verb} on {', '.join(names)}" for verb, names in self._unneeded.items()]

    async def _refused(self, verb: str, statement: Executable) -> str:
        try:
            await self._executor.run("doctor", UnitOfWork(partial(_execute, statement), writes=verb != "SELECT"))
        except StorageError as error:
            return error.message
        return ""


async def probe_rights(executor: Executor) -> list[Finding]:
    """Compare the account with that of an application: what it lacks is a failure, what it does not need a warning."""
    try:
        tables = await executor.run("doctor", UnitOfWork(existing_tables, writes=False))
        rights = Rights(executor, tables)
        await rights.probe()
    except StorageError as error:
        return [Finding("rights", Status.FAIL, str(error), "check the account")]
    of_account = [] if executor.dialect.no_grants_because else [await _account(executor, rights.unneeded)]
    return [rights.missing, *of_account]


async def _account(executor: Executor, unneeded: list[str]) -> Finding:
    """Return the finding about what the account does not need. ``unneeded``: that of the tables."""
    try:
        found = await executor.run("doctor", UnitOfWork(partial(_unneeded, executor), writes=False)) + unneeded
    except StorageError as error:
        return Finding("account", Status.UNKNOWN, str(error), "this account may lack the right to read it")
    if found:
        return ok_unless("account", f"more than an application needs: {'; '.join(found)}", warn=_GRANTS)
    return ok_unless("account", "no more than an application needs")


def _unneeded(executor: Executor, connection: Connection) -> list[str]:
    return list(executor.dialect.unneeded_privileges(connection, list(metadata.tables)))


def _statements(each: TableClause) -> Iterator[tuple[str, Executable]]:
    last = list(each.c)[-1]
    yield "SELECT", select(each).where(_NEVER)
    yield "INSERT", insert(each).from_select(list(each.c.keys()), select(each).where(_NEVER))
    yield "UPDATE", update(each).values({last: last}).where(_NEVER)
    yield "DELETE", delete(each).where(_NEVER)


def _execute(statement: Executable, connection: Connection) -> None:
    connection.execute(statement)
