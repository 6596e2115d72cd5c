"""The limits of the sessions of MySQL and MariaDB.

Each server reads the comments that are meant for it, because before the first connection it is not known which it is.
"""

from collections.abc import Callable, Sequence
from math import ceil

from sqlalchemy.engine.interfaces import DBAPIConnection

from axon_storage.dialects.session_limits import SessionLimits, milliseconds
from axon_storage.dialects.statements import execute

# every session of this package has it, so it can be set with one of the comments or with none
_SET = "SET SESSION completion_type = 0"

_WITH_FRACTION = "max_statement_time"


class MySQLLimits(SessionLimits):
    """MySQL ends a SELECT, a wait for a row lock, and an idle session; MariaDB every statement."""

    def limit_session(self, connection: DBAPIConnection, statement: float | None, idle: float | None) -> bool:
        settings = _SET
        if statement is not None:
            lock = _at_most("innodb_lock_wait_timeout", statement)
            own = _statement_timeout(f"{statement:.6f}", str(milliseconds(statement)), assign=_stricter)
            settings += f", {lock}{own}"
        if idle is not None:
            # MySQL has no limit for idle transactions only
            # in a transaction MariaDB uses idle_transaction_timeout in place of wait_timeout
            limit = f"LEAST(@@SESSION.wait_timeout, {ceil(idle)})"
            settings += (
                f" /*M!100300 , {_stricter('idle_transaction_timeout', limit)} */"
                f" /*!80000 , {_at_most('wait_timeout', idle)} */"
            )
        execute(connection, settings)
        return statement is not None

    def statement_timeout(self, seconds: float, *, local: bool = False) -> Sequence[str]:
        del local
        return (_SET + _statement_timeout(f"{seconds:.6f}", str(milliseconds(seconds)), assign="{} = {}".format),)


def _at_most(name: str, seconds: float) -> str:
    """Return an assignment that lowers a setting, and does not raise it."""
    return f"{name} = CAST(LEAST(@@SESSION.{name}, {ceil(seconds)}) AS SIGNED)"  # MySQL needs the type


def _stricter(name: str, limit: str) -> str:
    """Return an assignment that lowers a limit, and does not raise it. 0 means that there is none."""
    own = f"@@SESSION.{name}"
    value = f"IF({own} = 0, {limit}, LEAST({own}, {limit}))"
    return f"{name} = " + (value if name == _WITH_FRACTION else f"CAST({value} AS SIGNED)")  # MySQL needs the type


def _statement_timeout(seconds: str, thousandths: str, *, assign: Callable[[str, str], str]) -> str:
    mariadb, mysql = assign(_WITH_FRACTION, seconds), assign("max_execution_time", thousandths)
    return f" /*M!100100 , {mariadb} */ /*!80000 , {mysql} */"
