"""Plans: the parts of a transaction that run after all its saves, and determine the result of a call."""

from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy import Delete as DeleteStatement
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects import Dialect
from axon_storage.sql.unit_of_work import SingleStatement

Values = dict[str, Any]

_ATTEMPTS = 10


class Plan(Protocol):
    """A part of a transaction with a result. The plans of a batch run in order of ``sort_key``."""

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """The number of the row type, and the first key."""

    def run(self, connection: Connection) -> Any:
        """Send the statements, and return the result of the call."""

    def single(self) -> SingleStatement[list[Any]] | None:
        """Return the statement of a plan that has only one, and its result as a list; otherwise None."""


class DeletePlan(NamedTuple):
    """A DELETE statement and the parameters of its executions."""

    sort_key: tuple[Any, ...]
    statement: DeleteStatement
    executions: list[Values | list[Values]]

    def run(self, connection: Connection) -> int:
        """Delete, and return the number of deleted rows."""
        return sum([connection.execute(self.statement, parameters).rowcount for parameters in self.executions])

    def single(self) -> SingleStatement[list[Any]] | None:
        """Return the DELETE, if it is executed only once."""
        if len(self.executions) != 1 or isinstance(self.executions[0], list):
            return None
        return SingleStatement(self.statement, self.executions[0], lambda count: [count])


class CreatePlan(NamedTuple):
    """An INSERT of a row whose key may exist."""

    sort_key: tuple[Any, ...]
    dialect: Dialect
    statement: Executable
    values: Values

    def run(self, connection: Connection) -> bool:
        """Insert the row, and return True; return False if its key exists."""
        try:
            return execute_save(self.dialect, connection, self.statement, self.values).rowcount > 0
        except DBAPIError as error:
            if self.dialect.is_existing_key(self.dialect.driver_error(error)):
                return False
            raise

    def single(self) -> SingleStatement[list[Any]] | None:
        """Return the INSERT."""
        return SingleStatement(self.statement, self.values, lambda count: [count > 0])


def execute_save(dialect: Dialect, connection: Connection, statement: Executable, parameters: Any) -> CursorResult[Any]:
    """Execute a save. Repeat it if a concurrent save makes it fail but leaves the transaction usable."""
    for _ in range(_ATTEMPTS):
        try:
            return connection.execute(statement, parameters)
        except DBAPIError as error:
            if dialect.code(dialect.driver_error(error)) not in dialect.lost_race_codes:
                raise
    return connection.execute(statement, parameters)
