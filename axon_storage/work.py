"""Turns each call into work on a connection: what it sends is made before, so that a retry sends the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import singledispatchmethod
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Delete, Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from axon_storage import calls, executor, statements
from axon_storage.calls import Append, Call, Evict, Get, InOrder, Newest, Save, Scopes, Tenants
from axon_storage.dialects import Dialect
from axon_storage.errors import SerializationError
from axon_storage.executor import Work
from axon_storage.ids import EPOCH, Clock, IdSource, moment_of
from axon_storage.rows import ROW_TYPES, CheckedRow, Row, fields_of
from axon_storage.tables import CREATED_ID, EXPIRES_AT, TABLES

R = TypeVar("R", bound=Row)
Values = dict[str, Any]

_BATCH_ROWS = 1_000
_BATCH_BYTES = 2**20
_ROW_BYTES = 1_000  # what a row takes beside its text and JSON, roughly


@dataclass(frozen=True)
class Planner:
    """Makes the work of each call for one dialect, with the ids and moments that ``clock`` gives."""

    dialect: Dialect
    clock: Clock
    ids: IdSource

    @singledispatchmethod
    def plan(self, call: Call[Any]) -> Work[Any]:
        """Give the work of a call."""
        raise NotImplementedError(type(call).__name__)

    @plan.register(Save)
    def _save(self, call: Save) -> Work[None]:
        batches = list(self._batches(call.rows))

        async def work(connection: AsyncConnection) -> None:
            for statement, rows in batches:
                await executor.save(self.dialect, connection, statement, rows)

        return work

    @plan.register(Append)
    def _append(self, call: Append) -> Work[UUID]:
        values = self._stamped(call.row.row_type, dict(call.row.values), call.id)
        statement = statements.save(self.dialect, call.row.row_type)

        async def work(connection: AsyncConnection) -> UUID:
            await executor.save(self.dialect, connection, statement, [values])
            return values["id"]  # type: ignore[no-any-return]  # _stamped made it

        return work

    @plan.register(Get)
    def _get(self, call: Get[R]) -> Work[R | None]:
        statement = statements.get(call.row_type)
        parameters = self._parameters(call, call.row_type, call.key)

        async def work(connection: AsyncConnection) -> R | None:
            rows = await _rows(connection, call.row_type, statement, parameters)
            return rows[0] if rows else None

        return work

    @plan.register(InOrder)
    def _in_order(self, call: InOrder[R]) -> Work[list[R]]:
        statement = statements.in_order(call.row_type, tuple(call.prefix))
        return _listing(call.row_type, statement, self._parameters(call, call.row_type, call.prefix))

    @plan.register(Newest)
    def _newest(self, call: Newest[R]) -> Work[list[R]]:
        statement = statements.newest(self.dialect, call.row_type, tuple(call.where), skips=call.offset > 0)
        page = {"limit": call.limit} | ({"offset": call.offset} if call.offset else {})
        return _listing(call.row_type, statement, self._parameters(call, call.row_type, call.where) | page)

    @plan.register(calls.Delete)
    def _delete(self, call: calls.Delete) -> Work[int]:
        parameters = self._parameters(call, call.row_type, call.prefix)
        last = sorted(set(call.last), key=_stored_order)
        chunks = [last[start : start + _BATCH_ROWS] for start in range(0, len(last), _BATCH_ROWS)]
        statement = statements.remove(self.dialect, call.row_type)
        if self.dialect.deletes_lists:
            return _removing(statement, [parameters | {"last": chunk} for chunk in chunks])
        return _removing(statement, [[parameters | {"last": key} for key in chunk] for chunk in chunks])

    @plan.register(Evict)
    def _evict(self, call: Evict) -> Work[int]:
        parameters = self._parameters(call, call.row_type, {})
        return _removing(statements.evict(self.dialect, call.row_type), [parameters])

    @plan.register(Scopes)
    def _scopes(self, call: Scopes) -> Work[list[str]]:
        async def work(connection: AsyncConnection) -> list[str]:
            found: list[str] = []
            while True:
                statement = statements.next_scope(call.row_type, first=not found)
                after = {"last": found[-1]} if found else {}
                scope = (await connection.execute(statement, {"tenant_id": call.tenant} | after)).scalar()
                if scope is None:
                    return found
                found.append(scope)

        return work

    @plan.register(Tenants)
    def _tenants(self, _call: Tenants) -> Work[list[str]]:
        async def work(connection: AsyncConnection) -> list[str]:
            found: list[str] = []
            while True:
                statement = statements.next_tenant(first=not found)
                seeks = await connection.execute(statement, {"last": found[-1]} if found else {})
                tenants = [tenant for tenant in seeks.scalars() if tenant is not None]
                if not tenants:
                    return found
                found.append(min(tenants))

        return work

    def _parameters(self, call: Call[Any], row_type: type[Row], fields: Mapping[str, Any]) -> Values:
        now = {"now": self._now()} if EXPIRES_AT in TABLES[row_type].c else {}
        return {"tenant_id": call.tenant, **now, **fields}

    def _now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.clock() // 1000)

    def _batches(self, rows: Sequence[CheckedRow]) -> Iterator[tuple[Executable, list[Values]]]:
        """Per row type a statement and its rows, in an order of tables and keys that is the same for every writer."""
        for row_type in ROW_TYPES:
            own = [row for row in rows if row.row_type is row_type]
            folded: dict[object, CheckedRow] = {}
            for position, row in enumerate(own):
                # of rows that share a key the last wins, in the place of the first
                folded[tuple(row.values[name] for name in row_type.KEY) or position] = row
            stamped = {key: self._stamped(row_type, dict(row.values), None) for key, row in folded.items()}
            statement = statements.save(self.dialect, row_type)
            for keys in _bounded([(key, folded[key].size) for key in sorted(folded, key=_stored_order)]):
                yield statement, [stamped[key] for key in keys]

    def _stamped(self, row_type: type[Row], values: Values, row_id: UUID | None) -> Values:
        """Add the columns a row does not carry itself."""
        columns = TABLES[row_type].c
        if not row_type.KEY:
            values["id"] = row_id = row_id or self.ids()
            values["timestamp_utc"] = moment_of(row_id)
        if CREATED_ID in columns:
            values[CREATED_ID] = self.ids()
        if EXPIRES_AT in columns:
            values[EXPIRES_AT] = self._expiry(values["ttl_secs"])
        return values

    def _expiry(self, ttl_secs: int | None) -> datetime | None:
        if ttl_secs is None:
            return None
        # not "now": a clock that steps back must not bring back what was never to live
        return self._now() + timedelta(seconds=ttl_secs) if ttl_secs > 0 else EPOCH


def _stored_order(key: Any) -> Any:
    """What sorts keys as the database does: every writer takes its rows in that order, so that none deadlock."""
    if isinstance(key, tuple):
        return tuple(_stored_order(part) for part in key)
    return key - 2**64 if isinstance(key, int) and key >= 2**63 else key


def _listing(row_type: type[R], statement: Executable, parameters: Values) -> Work[list[R]]:
    async def work(connection: AsyncConnection) -> list[R]:
        return await _rows(connection, row_type, statement, parameters)

    return work


def _removing(statement: Delete, batches: Sequence[Values | list[Values]]) -> Work[int]:
    async def work(connection: AsyncConnection) -> int:
        return sum([(await connection.execute(statement, batch)).rowcount for batch in batches])

    return work


async def _rows(connection: AsyncConnection, row_type: type[R], statement: Executable, parameters: Values) -> list[R]:
    names = [name for name, _ in fields_of(row_type)]
    result = await connection.execute(statement, parameters)
    try:
        return [row_type(**dict(zip(names, row, strict=True))) for row in result]
    except ValueError as error:
        raise SerializationError(f"{row_type.TABLE}: a stored value cannot be read") from error


def _bounded(sized: Sequence[tuple[Any, int]]) -> Iterator[list[Any]]:
    """Cut items with their sizes into batches of bounded rows and bytes."""
    batch: list[Any] = []
    total = 0
    for item, size in sized:
        if batch and (len(batch) == _BATCH_ROWS or total + size > _BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size + _ROW_BYTES
    if batch:
        yield batch
