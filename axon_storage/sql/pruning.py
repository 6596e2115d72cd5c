"""Units of work of prune and erase runs: pages of keys, deletes by key, the lease of a run, the check of old ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy import Row as ResultRow
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects import Dialect
from axon_storage.model.ids import Clock, current_timestamp, first_id, timestamp_of
from axon_storage.model.maintenance import (
    CountPruned,
    DeleteOld,
    ForgetPruned,
    ListOld,
    ListPruned,
    MaintenanceRequest,
    NotePruned,
    OldRows,
    ReleaseLease,
    TakeLease,
)
from axon_storage.model.requests import Append, Save, WriteRequest
from axon_storage.model.rows import Row
from axon_storage.sql import prune_statements as statements
from axon_storage.sql.plans import execute_save
from axon_storage.sql.statements import key_executions
from axon_storage.sql.tables import TABLES, UPDATED_AT
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.sql.writes import sort_key

Values = dict[str, Any]

LEASE = timedelta(seconds=15)
"""How long the lease of a prune run lasts after its last transaction."""

REPEATABLE = timedelta(minutes=15)
"""How long after its creation an id is not compared with what was pruned: a retry of an append never reads more."""


@dataclass(frozen=True)
class Pruning:
    """Compiles the steps of prune and erase runs. ``clock``: returns nanoseconds since 1970."""

    dialect: Dialect
    clock: Clock

    def compile(self, request: MaintenanceRequest[Any]) -> UnitOfWork[Any]:  # noqa: PLR0911  # one for each kind
        """Compile one step."""
        match request:
            case TakeLease():
                return self.take_lease(request)
            case ReleaseLease():
                return self.release_lease(request)
            case ListOld():
                return self.list_old(request)
            case DeleteOld():
                return self.delete_old(request)
            case CountPruned():
                return self.count_pruned(request)
            case ListPruned():
                return self.list_pruned(request)
            case NotePruned():
                return self.note_pruned(request)
            case ForgetPruned():
                return self.forget_pruned(request)
            case _:
                raise NotImplementedError(type(request).__name__)

    # The lease of a run.

    def take_lease(self, request: TakeLease) -> UnitOfWork[datetime | None]:
        """Take the lease of a table and record what will be pruned; return until when another run holds the lease."""
        now = current_timestamp(self.clock)
        table = _table_parameters(request.tenant, request.row_type)
        lease = table | {"run": request.holder, "now": now, "until": now + LEASE}
        row = _new_record(request.tenant, request.row_type.TABLE)
        mark = None if request.before is None else min(request.before, now - REPEATABLE)

        def run(connection: Connection) -> datetime | None:
            if connection.execute(statements.take_lease(), lease).rowcount == 0:
                held = connection.execute(statements.lease(), table).one_or_none()
                if held is not None:
                    return held.held_until  # type: ignore[no-any-return]  # a timestamp
                execute_save(self.dialect, connection, statements.insert_lease(self.dialect), row)
                if connection.execute(statements.take_lease(), lease).rowcount == 0:
                    return now + LEASE  # another run has inserted the row
            if mark is not None:
                connection.execute(statements.note_pruned(), table | {"mark": mark})
            return None

        return UnitOfWork(run, writes=True)

    def release_lease(self, request: ReleaseLease) -> UnitOfWork[None]:
        """Release the lease of a table, if the run still holds it."""
        parameters = _table_parameters(request.tenant, request.row_type) | {"run": request.holder}

        def run(connection: Connection) -> None:
            connection.execute(statements.release_lease(), parameters)

        return UnitOfWork(run, writes=True)

    def count_pruned(self, request: CountPruned) -> UnitOfWork[int]:
        """Count the records about the prune runs of a tenant."""

        def run(connection: Connection) -> int:
            return int(connection.execute(statements.count_pruned(), {"tenant_id": request.tenant}).scalar_one())

        return UnitOfWork(run, writes=False)

    def list_pruned(self, request: ListPruned) -> UnitOfWork[Mapping[str, datetime]]:
        """Read up to when the tables of a tenant were pruned."""

        def run(connection: Connection) -> Mapping[str, datetime]:
            rows = connection.execute(statements.list_pruned(), {"tenant_id": request.tenant})
            return {row.table_name: row.pruned_before for row in rows}

        return UnitOfWork(run, writes=False)

    def note_pruned(self, request: NotePruned) -> UnitOfWork[None]:
        """Record up to when tables were pruned."""

        def run(connection: Connection) -> None:
            for table, mark in sorted(request.pruned.items()):
                record = _new_record(request.tenant, table)
                execute_save(self.dialect, connection, statements.insert_lease(self.dialect), record)
                of_table = {"of_tenant": request.tenant, "of_table": table}
                connection.execute(statements.note_pruned(), of_table | {"mark": mark})

        return UnitOfWork(run, writes=True)

    def forget_pruned(self, request: ForgetPruned) -> UnitOfWork[int]:
        """Delete the records about the prune runs of a tenant, and return their number."""

        def run(connection: Connection) -> int:
            return connection.execute(statements.forget_pruned(), {"tenant_id": request.tenant}).rowcount

        return UnitOfWork(run, writes=True)

    # The steps of a run.

    def list_old(self, request: ListOld) -> UnitOfWork[OldRows]:
        """Read the next page of keys, by the index after the last position."""
        row_type, by_age = request.row_type, request.before is not None
        order = statements.order_of(row_type, tuple(request.where), by_age=by_age)
        parameters = {"tenant_id": request.tenant, **request.where, **_bound(row_type, request.before)}
        depths: list[int | None] = [None]
        if request.after is not None:
            parameters |= {f"after_{name}": value for name, value in zip(order, request.after, strict=True)}
            # first the rest of the longest prefix, then the rest of shorter ones: each is one range of the index
            depths = list(reversed(range(len(order))))

        def read(connection: Connection, *, by_index: bool) -> OldRows:
            rows: list[ResultRow[Any]] = []
            for depth in depths:
                if len(rows) < request.limit:
                    statement = statements.list_old(
                        self.dialect, row_type, tuple(request.where), by_age=by_age, depth=depth, by_index=by_index
                    )
                    rows += connection.execute(statement, parameters | {"limit": request.limit - len(rows)}).all()
            return _old_rows(request, rows, order)

        def run(connection: Connection) -> OldRows:
            try:
                return read(connection, by_index=True)
            except DBAPIError as error:
                if not self.dialect.is_missing_index(error):
                    raise
            return read(connection, by_index=False)

        return UnitOfWork(run, writes=False)

    def delete_old(self, request: DeleteOld) -> UnitOfWork[int | None]:
        """Renew the lease, and delete rows by key if they are still old; return None if the lease is lost."""
        row_type, by_age, now = request.row_type, request.before is not None, current_timestamp(self.clock)
        statement = statements.delete_old(self.dialect, row_type, by_age=by_age)
        names = statements.key_of(TABLES[row_type])
        others = {"tenant_id": request.tenant, **_bound(row_type, request.before)}
        executions = list(key_executions(self.dialect, names, _sorted(request.keys), others))
        unknown = [
            {"of_tenant_id": request.tenant, "now": now}
            | {f"of_{name}": value for name, value in zip(names, key, strict=True)}
            for key in _sorted(request.unknown)
        ]
        lease = _table_parameters(request.tenant, row_type) | {"run": request.holder, "until": now + LEASE}

        def run(connection: Connection) -> int | None:
            if request.holder is not None and connection.execute(statements.renew_lease(), lease).rowcount == 0:
                return None
            deleted = sum([connection.execute(statement, parameters).rowcount for parameters in executions])
            if unknown:
                connection.execute(statements.set_updated_at(row_type), unknown)
            return deleted

        return UnitOfWork(run, writes=True)

    # Ids of appends.

    def check_ids(self, request: WriteRequest[Any]) -> UnitOfWork[str | None] | None:
        """Return a read that finds out whether a write has an id that was pruned, or None if no id is that old.

        The read returns why the write is refused, or None.
        """
        given = _given_ids(request)
        if not given:  # most writes
            return None
        limit = first_id(current_timestamp(self.clock) - REPEATABLE)
        oldest: dict[str, UUID] = {}
        for table, row_id in given:
            if row_id < limit:
                oldest[table] = min(row_id, oldest.get(table, row_id))
        if not oldest:
            return None

        def run(connection: Connection) -> str | None:
            for table, row_id in oldest.items():
                of_table = {"of_tenant": request.tenant, "of_table": table}
                pruned = connection.execute(statements.pruned_before(), of_table).scalar()
                if pruned is not None and timestamp_of(row_id) < pruned:
                    return f"id: older than {pruned:%Y-%m-%d %H:%M:%S} UTC, up to which {table} was pruned"
            return None

        return UnitOfWork(run, writes=False, can_autocommit=True)


def _given_ids(request: WriteRequest[Any]) -> list[tuple[str, UUID]]:
    """Return the table and the id of each row of a write whose id the caller chose."""
    if isinstance(request, Append) and request.id is not None:
        return [(request.row.row_type.TABLE, request.id)]
    if isinstance(request, Save):
        return [(row.row_type.TABLE, row.id) for row in request.rows if row.id is not None]
    return []


def _new_record(tenant: str, table: str) -> Values:
    row: Values = {"tenant_id": tenant, "table_name": table}
    return row | dict.fromkeys(("pruned_before", "holder", "held_until"))


def _table_parameters(tenant: str, row_type: type[Row]) -> Values:
    return {"of_tenant": tenant, "of_table": row_type.TABLE}


def _bound(row_type: type[Row], before: datetime | None) -> Values:
    """Return the parameter of the condition that a row is old."""
    if before is None:
        return {}
    return {"before": before if UPDATED_AT in TABLES[row_type].c else first_id(before)}


def _old_rows(request: ListOld, rows: Sequence[ResultRow[Any]], order: Sequence[str]) -> OldRows:
    """Return the keys of a page: those of old rows, and those of rows of unknown age."""
    names = statements.key_of(TABLES[request.row_type])
    found = OldRows([], [], None)
    for row in rows:
        key = tuple(row[: len(names)])
        if request.before is None or UPDATED_AT not in TABLES[request.row_type].c:
            found.keys.append(key)
        elif row[-1] is None:
            found.unknown.append(key)
        elif row[-1] < request.before:
            found.keys.append(key)
    if len(rows) < request.limit:
        return found
    last = rows[-1]._mapping  # public in spite of its name
    return found._replace(after=tuple(last[name] for name in order))


def _sorted(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sort keys in the order in which all writers lock rows."""
    return sorted(keys, key=lambda key: tuple(map(sort_key, key)))
