"""The limits of PostgreSQL's sessions."""

from collections.abc import Sequence

from sqlalchemy.engine.interfaces import DBAPIConnection

from axon_storage.dialects.session_limits import SessionLimits, milliseconds


class PostgreSQLLimits(SessionLimits):
    """PostgreSQL ends every statement, and the session of an idle transaction."""

    def limit_session(self, connection: DBAPIConnection, statement: float | None, idle: float | None) -> bool:
        # Not as startup parameters, which poolers refuse. A pooler also gives each transaction another session, and
        # would keep the settings for other clients. Its sessions have another number than the one it has told, so there
        # the condition is false, and nothing is set.
        given = {"statement_timeout": statement, "idle_in_transaction_session_timeout": idle}
        settings = ", ".join(_at_most(name, milliseconds(seconds)) for name, seconds in given.items() if seconds)
        answer = connection.run_async(
            lambda driver: driver.execute(f"SELECT {settings} WHERE pg_backend_pid() = {driver.get_server_pid()}")
        )
        return bool(answer == "SELECT 1") and statement is not None

    def statement_timeout(self, seconds: float, *, local: bool = False) -> Sequence[str]:
        return (f"SET {'LOCAL ' if local else ''}statement_timeout = {milliseconds(seconds)}",)


def _at_most(name: str, limit: int) -> str:
    """Return an expression that lowers a limit, and does not raise it. 0 means that there is none."""
    own = f"current_setting('{name}')"
    is_stricter = f"{own}::interval > '0' AND {own}::interval < interval '{limit} milliseconds'"
    return f"set_config('{name}', CASE WHEN {is_stricter} THEN {own} ELSE '{limit}' END, false)"
