"""What each call sends that is no save, append or delete: worked out before, so that a retry sends the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable

from axon_storage.dialects import Dialect
from axon_storage.errors import SerializationError
from axon_storage.model.ids import Clock, current_moment, moment_of
from axon_storage.model.requests import Call, Evict, Get, InOrder, Newest, Page, Scopes, Tenants
from axon_storage.model.rows import Recorded, Row, maker_of
from axon_storage.sql import statements
from axon_storage.sql.tables import EXPIRES_AT, TABLES
from axon_storage.sql.unit_of_work import Work

T = TypeVar("T")
R = TypeVar("R", bound=Row)
Values = dict[str, Any]


@dataclass(frozen=True)
class Planner:
    """Makes the work of each call for one dialect, at the moments that ``clock`` gives."""

    dialect: Dialect
    clock: Clock

    @singledispatchmethod
    def plan(self, call: Call[Any]) -> Work[Any]:
        """Give the work of a call."""
        raise NotImplementedError(type(call).__name__)

    @plan.register(Get)
    def _get(self, call: Get[R]) -> Work[R | None]:
        parameters = self._parameters(call, call.row_type, call.key)
        reading = _reading(call.row_type, statements.get(call.row_type), parameters, maker_of(call.row_type))

        def work(connection: Connection) -> R | None:
            rows = reading.on(connection)
            return rows[0] if rows else None

        return Work(work, writes=False, single=True)

    @plan.register(InOrder)
    def _in_order(self, call: InOrder[R]) -> Work[list[R]]:
        statement = statements.in_order(call.row_type, tuple(call.prefix))
        parameters = self._parameters(call, call.row_type, call.prefix)
        return _reading(call.row_type, statement, parameters, maker_of(call.row_type))

    @plan.register(Newest)
    def _newest(self, call: Newest[R]) -> Work[list[R]]:
        statement = statements.newest(self.dialect, call.row_type, tuple(call.where), skips=call.offset > 0)
        page = {"limit": call.limit} | ({"offset": call.offset} if call.offset else {})
        parameters = self._parameters(call, call.row_type, call.where) | page
        return _reading(call.row_type, statement, parameters, maker_of(call.row_type))

    @plan.register(Page)
    def _page(self, call: Page[R]) -> Work[list[Recorded[R]]]:
        statement = statements.page(self.dialect, call.row_type, tuple(call.where))
        bounds = {"after": call.after, "before": call.before, "limit": call.limit}
        parameters = self._parameters(call, call.row_type, call.where) | bounds
        make = maker_of(call.row_type)

        def recorded(columns: Sequence[Any]) -> Recorded[R]:
            return Recorded(columns[0], moment_of(columns[0]), make(columns[1:]))

        return _reading(call.row_type, statement, parameters, recorded)

    @plan.register(Evict)
    def _evict(self, call: Evict) -> Work[int]:
        parameters = self._parameters(call, call.row_type, {})
        statement = statements.evict(self.dialect, call.row_type)

        def work(connection: Connection) -> int:
            return connection.execute(statement, parameters).rowcount

        # late too it deletes what had expired when the call was made; of later saves, those that were to expire at once
        return Work(work, writes=True, single=True)

    @plan.register(Scopes)
    def _scopes(self, call: Scopes) -> Work[list[str]]:
        def work(connection: Connection) -> list[str]:
            found: list[str] = []
            while True:
                statement = statements.next_scope(call.row_type, first=not found)
                after = {"last": found[-1]} if found else {}
                scope = connection.execute(statement, {"tenant_id": call.tenant} | after).scalar()
                if scope is None:
                    return found
                found.append(scope)

        return Work(work, writes=False, single=True)

    @plan.register(Tenants)
    def _tenants(self, _call: Tenants) -> Work[list[str]]:
        def work(connection: Connection) -> list[str]:
            found: list[str] = []
            while True:
                statement = statements.next_tenant(first=not found)
                seeks = connection.execute(statement, {"last": found[-1]} if found else {})
                tenants = [tenant for tenant in seeks.scalars() if tenant is not None]
                if not tenants:
                    return found
                found.append(min(tenants))

        return Work(work, writes=False, single=True)

    def _parameters(self, call: Call[Any], row_type: type[Row], fields: Mapping[str, Any]) -> Values:
        now = {"now": current_moment(self.clock)} if EXPIRES_AT in TABLES[row_type].c else {}
        return {"tenant_id": call.tenant, **now, **fields}


def _reading(
    row_type: type[R], statement: Executable, parameters: Values, make: Callable[[Sequence[Any]], T]
) -> Work[list[T]]:
    """Work that makes something of each row of a statement's result, in one pass."""

    def work(connection: Connection) -> list[T]:
        result = connection.execute(statement, parameters)
        try:
            return [make(row) for row in result]
        except ValueError as error:
            raise SerializationError(f"{row_type.TABLE}: a stored value cannot be read") from error

    return Work(work, writes=False, single=True)
