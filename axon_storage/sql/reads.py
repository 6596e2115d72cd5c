"""Units of work for read requests, and for the deletion of expired rows."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects import Dialect
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.rows import decrypting
from axon_storage.model.cached import cached
from axon_storage.model.ids import Clock, current_timestamp, first_id, timestamp_of
from axon_storage.model.requests import (
    EvictExpired,
    Get,
    ListByIds,
    ListByKey,
    ListByKeys,
    ListNewest,
    ListPage,
    ListRecentIds,
    RecentIds,
    Request,
)
from axon_storage.model.rows import Recorded, Row, fields_of, maker_of
from axon_storage.sql import statements
from axon_storage.sql.statements import STATEMENT_ROWS
from axon_storage.sql.tables import EXPIRES_AT, TABLES
from axon_storage.sql.types import unreadable
from axon_storage.sql.unit_of_work import SingleStatement, UnitOfWork
from axon_storage.sql.writes import sort_key

T = TypeVar("T")
R = TypeVar("R", bound=Row)
Values = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reads:
    """Compiles read requests into units of work.

    The statement and its parameters, including the current time, are computed here, so that a retry sends the same.

    ``clock``: returns nanoseconds since 1970. ``tables_without_index``: the tables for which a missing index was
    logged. ``cipher``: decrypts documents; None if they are not encrypted.
    """

    dialect: Dialect
    clock: Clock
    cipher: DocumentCipher | None = None
    tables_without_index: set[str] = field(default_factory=set)

    def get(self, request: Get[R]) -> UnitOfWork[R | None]:
        """Read one row by its key."""
        parameters = self._parameters(request, request.row_type, request.key)
        make = self._maker(request.row_type)
        rows = _select(request.row_type, statements.get(request.row_type), parameters, make)
        return rows.then(lambda found: found[0] if found else None)

    def list_by_key(self, request: ListByKey[R]) -> UnitOfWork[list[R]]:
        """Read the rows whose key begins with a prefix and is within the bounds, in key order or backwards."""
        limit = {} if request.limit is None else {"limit": request.limit}
        prefix, bounds = tuple(request.prefix), tuple(request.bounds)
        statement = statements.list_by_key(
            request.row_type, prefix, bounds, limited=bool(limit), reverse=request.reverse
        )
        parameters = self._parameters(request, request.row_type, {**request.prefix, **request.bounds, **limit})
        return _select(request.row_type, statement, parameters, self._maker(request.row_type))

    def list_by_keys(self, request: ListByKeys[R]) -> UnitOfWork[list[R]]:
        """Read the rows with the given keys, with one statement for each ``STATEMENT_ROWS`` keys."""
        keys = sorted(set(request.last), key=sort_key, reverse=request.reverse)
        statement = statements.list_by_keys(self.dialect, request.row_type, reverse=request.reverse)
        parameters = self._parameters(request, request.row_type, request.prefix)
        selects = [
            _select(
                request.row_type,
                statement,
                parameters | {"last": keys[start : start + STATEMENT_ROWS]},
                self._maker(request.row_type),
            )
            for start in range(0, len(keys), STATEMENT_ROWS)
        ]
        if len(selects) == 1:
            return selects[0]

        def run(connection: Connection) -> list[R]:
            return [row for select in selects for row in select.run(connection)]

        return UnitOfWork(run, writes=False, can_autocommit=True)

    def list_newest(self, request: ListNewest[R]) -> UnitOfWork[list[R]]:
        """Read a page of rows, newest first."""
        where, has_offset = tuple(request.where), request.offset > 0
        statement = partial(statements.list_newest, self.dialect, request.row_type, where, has_offset=has_offset)
        make: Callable[[Sequence[Any]], R]
        if self.cipher is None or request.row_type.KEY:
            make = self._maker(request.row_type)
        else:  # the id is part of what is authenticated
            statement, make = partial(statement, with_ids=True), self._recorded(request.row_type, row_only=True)
        page = {"limit": request.limit} | ({"offset": request.offset} if has_offset else {})
        parameters = self._parameters(request, request.row_type, request.where) | page
        return self._select_by_index(request.row_type, statement, parameters, make)

    def list_page(self, request: ListPage[R]) -> UnitOfWork[list[Recorded[R]]]:
        """Read a page of rows, with their ids and timestamps."""
        where, reverse = tuple(request.where), request.reverse
        statement = partial(statements.list_page, self.dialect, request.row_type, where, reverse=reverse)
        bounds = {"after": request.after, "before": request.before, "limit": request.limit}
        parameters = self._parameters(request, request.row_type, request.where) | bounds
        return self._select_by_index(request.row_type, statement, parameters, self._recorded(request.row_type))

    def list_by_ids(self, request: ListByIds[R]) -> UnitOfWork[list[Recorded[R]]]:
        """Read rows by their ids."""
        statement = statements.list_by_ids(self.dialect, request.row_type)
        parameters = {"tenant_id": request.tenant, "ids": list(request.ids)}
        return _select(request.row_type, statement, parameters, self._recorded(request.row_type))

    def list_recent_ids(self, request: ListRecentIds) -> UnitOfWork[RecentIds]:
        """Read the ids of rows. The horizon is computed before the statement is sent."""
        horizon = first_id(current_timestamp(self.clock) - timedelta(seconds=request.seconds))
        statement = partial(statements.list_ids, self.dialect, request.row_type, tuple(request.where))
        bounds = {"after": request.after or horizon, "before": request.before}
        parameters = self._parameters(request, request.row_type, request.where) | bounds
        select = self._select_by_index(request.row_type, statement, parameters, _first)

        return select.then(lambda ids: RecentIds(ids, horizon))

    def evict_expired(self, request: EvictExpired) -> UnitOfWork[int]:
        """Delete the expired rows, and return their number."""
        parameters = self._parameters(request, request.row_type, {})
        statement = statements.evict_expired(self.dialect, request.row_type)

        def run(connection: Connection) -> int:
            return connection.execute(statement, parameters).rowcount

        # Safe to run late: it deletes only rows that had expired when the call was made.
        return UnitOfWork(run, writes=True, can_autocommit=True)

    def _select_by_index(
        self,
        row_type: type[R],
        statement: Callable[..., Executable],
        parameters: Values,
        make: Callable[[Sequence[Any]], T],
    ) -> UnitOfWork[list[T]]:
        """Run a SELECT with an index hint; if the index does not exist, run it without the hint.

        ``statement``: returns the SELECT; with ``by_index=False`` it has no index hint.
        """
        select = _select(row_type, statement(), parameters, make)
        if not self.dialect.missing_index_codes:
            return select

        def run(connection: Connection) -> list[T]:
            try:
                return select.run(connection)
            except DBAPIError as error:
                if not self.dialect.is_missing_index(error):
                    raise
            self._log_missing_index(row_type.TABLE)
            return _select(row_type, statement(by_index=False), parameters, make).run(connection)

        return UnitOfWork(run, writes=False, can_autocommit=True, single=select.single)

    def _log_missing_index(self, table: str) -> None:
        if table not in self.tables_without_index:
            self.tables_without_index.add(table)
            _log.warning("%s: an index is missing, so lists are slow: `axon-storage migrate check` names it", table)

    def _maker(self, row_type: type[R]) -> Callable[[Sequence[Any]], R]:
        """Return a function that creates a row from the columns of its fields."""
        make = maker_of(row_type)
        return make if self.cipher is None else decrypting(self.cipher, row_type, _names(row_type), make)

    def _recorded(self, row_type: type[R], *, row_only: bool = False) -> Callable[[Sequence[Any]], Any]:
        """Return a function that creates a Recorded, or only its row, from an id and the columns of the fields."""
        make = _recorded(row_type)
        if self.cipher is None:
            return make
        names = [str(statements.recorded(row_type).key), *_names(row_type)]
        return decrypting(self.cipher, row_type, names, _after_id(row_type) if row_only else make)

    def _parameters(self, request: Request[Any], row_type: type[Row], fields: Mapping[str, Any]) -> Values:
        now = {"now": current_timestamp(self.clock)} if EXPIRES_AT in TABLES[row_type].c else {}
        return {"tenant_id": request.tenant, **now, **fields}


def _recorded(row_type: type[R]) -> Callable[[Sequence[Any]], Recorded[R]]:
    """Return a function that creates a Recorded from an id and the values of a row's fields."""
    make = maker_of(row_type)

    def recorded(columns: Sequence[Any]) -> Recorded[R]:
        return Recorded(columns[0], timestamp_of(columns[0]), make(columns[1:]))

    return recorded


def _after_id(row_type: type[R]) -> Callable[[Sequence[Any]], R]:
    make = maker_of(row_type)
    return lambda columns: make(columns[1:])


@cached
def _names(row_type: type[Row]) -> list[str]:
    return [field.name for field in fields_of(row_type)]


def _first(columns: Sequence[UUID]) -> UUID:
    return columns[0]


def _select(
    row_type: type[R], statement: Executable, parameters: Values, make: Callable[[Sequence[Any]], T]
) -> UnitOfWork[list[T]]:
    """Run a SELECT, and convert each row of its result with ``make``."""

    def made(rows: Iterable[Sequence[Any]]) -> list[T]:
        try:
            return [make(row) for row in rows]
        except ValueError:
            raise unreadable(row_type.TABLE) from None

    def run(connection: Connection) -> list[T]:
        return made(connection.execute(statement, parameters))

    single = SingleStatement(statement, parameters, made)
    return UnitOfWork(run, writes=False, can_autocommit=True, single=single)
