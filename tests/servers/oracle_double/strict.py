"""The Mirror's backend on PostgreSQL, which refuses what Oracle refuses."""

import sys
from collections.abc import Sequence
from typing import Any

from seerdb.server.backend import BackendError
from seerdb.server.backends.postgres import PostgresBackend, _backend_error

from tests.servers.oracle_double.rules import RefusedError, check, for_postgresql

_NO_ROW_FAILED = "the array statement failed"


class StrictBackend(PostgresBackend):  # type: ignore[misc]  # seerdb is not installed in this environment
    """Checks the statements of clients, not those that the backend sends itself."""

    _within = False

    def execute(self, sql: str, binds: Sequence[Any] = ()) -> Any:
        """See the base class."""
        return self._checked("execute", sql, binds)

    def execute_many(self, sql: str, rows: Any) -> Any:
        """See the base class."""
        return self._checked("execute_many", sql, rows)

    def execute_many_rowcounts(self, sql: str, rows: Any) -> Any:
        """See the base class."""
        return self._checked("execute_many_rowcounts", sql, rows)

    def execute_returning(self, sql: str, rows: Any) -> Any:
        """See the base class."""
        return self._checked("execute_returning", sql, rows)

    def parse(self, sql: str) -> Any:
        """See the base class."""
        return self._checked("parse", sql)

    def _replay_until_failure(self, sql: str, rows: Any) -> Any:
        met = sys.exc_info()[1]
        error = super()._replay_until_failure(sql, rows)
        # the rows are now inserted one by one, after a conflicting row was committed: that was ORA-00001
        return _backend_error(met) if str(error) == _NO_ROW_FAILED else error

    def _checked(self, verb: str, sql: str, *arguments: Any) -> Any:
        run = getattr(super(), verb)
        if self._within:
            return run(sql, *arguments)
        try:
            check(sql, self._release[:2])
        except RefusedError as refused:
            raise BackendError(str(refused), ora_code=refused.number) from None
        self._within = True
        try:
            return run(for_postgresql(sql), *arguments)
        finally:
            self._within = False
