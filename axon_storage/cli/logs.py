"""The log messages that a command shows on the standard error."""

import logging

_PRINTED_OTHERWISE = {"axon_storage.backend.maintenance"}
"""Loggers whose messages a command does not show, because it prints the result itself."""

_EVENTS = {"retry", "opened", "closed", "schema_upgraded", "schema_ahead"}
"""Events that a command does not show: it prints the last error and what it has done, and opens a database itself."""

_STEP_OF_ALEMBIC = "Running %s"
"""The only message of Alembic that a command shows: the others are about Alembic's own work."""


class _Shown(logging.Filter):
    """Passes the messages for the user, each once: a command may open the same database several times."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is shown."""
        message = record.getMessage()
        is_other = record.name in _PRINTED_OTHERWISE or getattr(record, "storage_event", None) in _EVENTS
        if record.name.startswith("alembic.") and record.levelno < logging.WARNING:
            is_other = record.msg != _STEP_OF_ALEMBIC
        if is_other or message in self._seen:
            return False
        self._seen.add(message)
        return True


def show_logs() -> None:
    """Show log messages from the level INFO on, unless logging is configured already."""
    handler = logging.StreamHandler()
    handler.addFilter(_Shown())
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
