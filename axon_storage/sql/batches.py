"""What saves, appends and deletes send: worked out once, when the call is made, then sent alone or many together."""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Delete, Executable, Table
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects import Dialect
from axon_storage.model import requests as calls
from axon_storage.model.ids import EPOCH, Clock, IdSource, current_moment, moment_of
from axon_storage.model.requests import Append, Save, Writing
from axon_storage.model.rows import ROW_TYPES, CheckedRow, Row
from axon_storage.sql import statements
from axon_storage.sql.tables import CREATED_ID, EXPIRES_AT, TABLES
from axon_storage.sql.unit_of_work import Work

T = TypeVar("T")
Values = dict[str, Any]
Place = tuple[str, tuple[Any, ...]]
"""A row's table and key, which sorts as the database sorts it."""

BATCH_ROWS = 1_000
BATCH_BYTES = 2**20
ROW_BYTES = 1_000  # what a row takes beside its text and JSON, roughly

_RACES = 10
_NOWHERE: Set[Place] = frozenset()
_WITH_CREATED_ID = frozenset(row_type for row_type in ROW_TYPES if CREATED_ID in TABLES[row_type].c)
_WITH_EXPIRY = frozenset(row_type for row_type in ROW_TYPES if EXPIRES_AT in TABLES[row_type].c)


class Stored(NamedTuple):
    """A row with all its columns; ``place`` is its key, which sorts as the database sorts it, ``size`` in bytes."""

    row_type: type[Row]
    place: tuple[Any, ...]
    values: Values
    size: int


class Removed(NamedTuple):
    """A delete's statement, with its parameters for each time that it is run; ``first`` sorts it among others."""

    first: tuple[Any, ...]
    statement: Delete
    batches: list[Values | list[Values]]

    def on(self, connection: Connection) -> int:
        """Delete; give how many rows went."""
        return sum([connection.execute(self.statement, batch).rowcount for batch in self.batches])


@dataclass(slots=True)
class Write(Generic[T]):
    """One call's part of a transaction, and what the call answers: of a delete, how many rows went.

    ``places``: the rows that others may write too; ``rows`` and ``size`` (bytes): of all rows.
    """

    operation: str
    answer: T
    places: Set[Place]
    rows: int
    size: int
    stores: Sequence[Stored] = ()
    removal: Removed | None = None


@dataclass(frozen=True)
class Writer:
    """Works out writes for one dialect, with the ids and moments that ``clock`` gives."""

    dialect: Dialect
    clock: Clock
    ids: IdSource

    def work_out(self, call: Writing[Any]) -> Write[Any]:
        """Give what a call writes, so that it writes the same however often it is tried."""
        match call:
            case Append():
                return self._append(call)
            case Save():
                return self._save(call)
            case calls.Delete():
                return self._delete(call)
        raise NotImplementedError(type(call).__name__)

    def _append(self, call: Append) -> Write[UUID]:
        stored = self._stored(call.row, call.id)
        # an id that the caller knows may be under way a second time
        places = _NOWHERE if call.id is None else {(stored.row_type.TABLE, stored.place)}
        return Write(call.operation, stored.values["id"], places, 1, stored.size, [stored])

    def _save(self, call: Save) -> Write[None]:
        stores = [self._stored(row, None) for row in call.rows]
        places = {(stored.row_type.TABLE, stored.place) for stored in stores if stored.row_type.KEY}
        return Write(call.operation, None, places, len(stores), sum([stored.size for stored in stores]), stores)

    def _delete(self, call: calls.Delete) -> Write[int]:
        as_stored = {_in_stored_order(key): key for key in call.last}
        order = sorted(as_stored)
        last = [as_stored[key] for key in order]
        chunks = [last[start : start + BATCH_ROWS] for start in range(0, len(last), BATCH_ROWS)]
        parameters = {"tenant_id": call.tenant, **call.prefix}
        batches: list[Values | list[Values]] = (
            [parameters | {"last": chunk} for chunk in chunks]
            if self.dialect.deletes_lists
            else [[parameters | {"last": key} for key in chunk] for chunk in chunks]
        )
        head = (call.tenant, *map(_in_stored_order, call.prefix.values()))
        places = {(call.row_type.TABLE, (*head, key)) for key in order}
        statement = statements.remove(self.dialect, call.row_type)
        first = (ROW_TYPES.index(call.row_type), *head, *order[:1])
        removal = Removed(first, statement, batches)
        return Write(call.operation, 0, places, len(places), len(places) * ROW_BYTES, removal=removal)

    def alone(self, write: Write[T]) -> Work[T]:
        """The work of one write."""
        together = self.together([write])

        def on(connection: Connection) -> T:
            answers: list[T] = together.on(connection)
            return answers[0]

        return Work(on, writes=True, single=together.single)

    def together(self, writes: Sequence[Write[Any]], *, lock_first: bool = False) -> Work[list[Any]]:
        """The work of several writes and its answers; what is deleted is not saved by a later one of them.

        ``lock_first``: with a statement that locks the rows, and fails at once where one is locked.
        """
        locks = _keys(writes) if lock_first else {}
        batches = list(self._batches(stored for write in writes for stored in write.stores))
        removals = [(number, write.removal) for number, write in enumerate(writes) if write.removal is not None]
        removals.sort(key=lambda numbered: numbered[1].first)

        def on(connection: Connection) -> list[Any]:
            answers = [write.answer for write in writes]
            for table, keys in locks.items():
                for start in range(0, len(keys), BATCH_ROWS):
                    self.dialect.lock_rows(connection, table, keys[start : start + BATCH_ROWS])
            for statement, parameters in batches:
                _save(self.dialect, connection, statement, parameters)
            for number, removal in removals:
                answers[number] = removal.on(connection)
            return answers

        # what replaces or deletes must not be run late, over what was written since; a list is a statement for each row
        appends = not removals and not writes[0].stores[0].row_type.KEY
        single = appends and len(batches) == 1 and not isinstance(batches[0][1], list)
        return Work(on, writes=True, single=single)

    def _stored(self, row: CheckedRow, row_id: UUID | None) -> Stored:
        """Add the columns a row does not carry itself."""
        row_type, values, size = row.row_type, row.values, row.size + ROW_BYTES
        if not row_type.KEY:
            values["id"] = row_id = row_id or self.ids()
            values["timestamp_utc"] = moment_of(row_id)
            return Stored(row_type, (values["tenant_id"], row_id.int), values, size)
        if row_type in _WITH_CREATED_ID:
            values[CREATED_ID] = self.ids()
        if row_type in _WITH_EXPIRY:
            values[EXPIRES_AT] = self._expiry(values["ttl_secs"])
        key = [_in_stored_order(values[name]) for name in row_type.KEY]
        return Stored(row_type, (values["tenant_id"], *key), values, size)

    def _expiry(self, ttl_secs: int | None) -> datetime | None:
        if ttl_secs is None:
            return None
        # not "now": a clock that steps back must not bring back what was never to live
        return current_moment(self.clock) + timedelta(seconds=ttl_secs) if ttl_secs > 0 else EPOCH

    def _batches(self, stores: Iterable[Stored]) -> Iterator[tuple[Executable, Any]]:
        """Per row type a statement and its rows, in an order of tables and keys that is the same for every writer."""
        folded: dict[type[Row], dict[tuple[Any, ...], Stored]] = {}
        for stored in stores:
            of_type = folded.setdefault(stored.row_type, {})
            of_type[stored.place] = _folded(of_type[stored.place], stored) if stored.place in of_type else stored
        for row_type in ROW_TYPES if len(folded) > 1 else folded:
            of_type = folded.get(row_type, {})
            for batch in _bounded([of_type[place] for place in sorted(of_type)]):
                rows = [stored.values for stored in batch]
                if len(rows) == 1:
                    yield statements.save(self.dialect, row_type), rows[0]
                else:
                    yield statements.save_batch(self.dialect, row_type), self.dialect.batch_parameters(rows)


def _save(dialect: Dialect, connection: Connection, statement: Executable, parameters: Any) -> None:
    """Run a save's statement, again after a lost race that leaves its transaction as it was."""
    for _ in range(_RACES):
        try:
            connection.execute(statement, parameters)
        except DBAPIError as error:
            if dialect.code(dialect.driver_error(error)) not in dialect.lost_race_codes:
                raise
        else:
            return
    connection.execute(statement, parameters)


def _folded(first: Stored, last: Stored) -> Stored:
    """What is left of two rows of one place: of appends the first, else the last, where the first was in the order."""
    if not first.row_type.KEY:
        return first
    if CREATED_ID in first.values:
        last.values[CREATED_ID] = first.values[CREATED_ID]
    return last


def _in_stored_order(key: Any) -> Any:
    """What sorts a key field as the database does: every writer takes its rows in that order, so that none deadlock."""
    return key - 2**64 if isinstance(key, int) and key >= 2**63 else key


def _keys(writes: Sequence[Write[Any]]) -> dict[Table, list[tuple[Any, ...]]]:
    """The keys that writes replace or delete, as they are stored, by table, in the order of every writer."""
    rows = sorted(set[Place]().union(*[write.places for write in writes]))
    keys = {row_type.TABLE: list[tuple[Any, ...]]() for row_type in ROW_TYPES}
    for table, key in rows:
        keys[table].append(key)
    return {TABLES[row_type]: keys[row_type.TABLE] for row_type in ROW_TYPES if row_type.KEY and keys[row_type.TABLE]}


def _bounded(stores: Sequence[Stored]) -> Iterator[list[Stored]]:
    """Cut rows into batches of bounded number and bytes."""
    batch: list[Stored] = []
    total = 0
    for stored in stores:
        if batch and (len(batch) == BATCH_ROWS or total + stored.size > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(stored)
        total += stored.size
    if batch:
        yield batch
