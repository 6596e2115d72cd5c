"""SlowCalls: logs calls that take long, with where the time went."""

import logging
from time import perf_counter

from axon_storage.engine.observer import Call, Kind, Observer

_log = logging.getLogger(__name__)


class SlowCalls(Observer):
    """Logs a warning for each call, and each step of a transaction, that takes ``seconds`` or longer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def end(self, call: Call, error: BaseException | None) -> None:
        """Log the call if it was slow. Group commits are not logged, because the calls that they carry are."""
        seconds = perf_counter() - call.started
        if seconds < self._seconds or call.kind is not Kind.CALL:
            return
        spent = call.spent()
        _log.warning(
            "%s took %.3f s: waited %.3f s for its turn, %.3f s for a connection, %.3f s for the database, "
            "%.3f s between attempts",
            call.operation if call.table is None else f"{call.operation} ({call.table})",
            seconds,
            *spent,
            extra={
                "storage_event": "slow_call",
                "operation": call.operation,
                "table": call.table,
                "seconds": seconds,
                "turn_seconds": spent.turn,
                "connection_seconds": spent.connection,
                "database_seconds": spent.database,
                "pause_seconds": spent.pause,
                "error_class": None if error is None else type(error).__name__,
            },
        )
