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
        settings = ", ".join(
            f"set_config('{name}', '{milliseconds(seconds)}', false)" for name, seconds in given.items() if seconds
        )
        answer = connection.run_async(
            lambda driver: driver.execute(f"SELECT {settings} WHERE pg_backend_pid() = {driver.get_server_pid()}")
        )
        return bool(answer == "SELECT 1") and statement is not None

    def statement_timeout(self, seconds: float, *, local: bool = False) -> Sequence[str]:
        return (f"SET {'LOCAL ' if local else ''}statement_timeout = {milliseconds(seconds)}",)
