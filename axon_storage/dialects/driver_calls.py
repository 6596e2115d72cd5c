"""The base class for single statements that the driver sends itself, without SQLAlchemy's asyncio adapter."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

Shield = Callable[[Awaitable[None]], Awaitable[None]]


class DriverCalls:
    """Calls of the driver's own connection, for units of work of one statement. Their callers are coroutines.

    ``driver`` is the ``driver_connection`` of a connection of SQLAlchemy's pool, without a transaction. ``arguments``
    are the values of the placeholders of ``text``. A cancelled call leaves a connection that must be closed.
    """

    sends_directly: ClassVar[bool] = False
    """Whether the dialect has the methods of this class."""

    async def fetch(self, driver: Any, text: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Return the rows of a SELECT."""
        raise NotImplementedError

    async def execute(self, driver: Any, text: str, arguments: Sequence[Any]) -> int:
        """Execute a statement that commits by itself, and return the number of rows that it changed."""
        raise NotImplementedError

    async def execute_in_transaction(
        self, driver: Any, text: str, arguments: Sequence[Any], commits: Callable[[], None], shield: Shield
    ) -> int:
        """Execute a statement in a transaction of its own, and return the number of rows that it changed.

        ``shield``: awaits the COMMIT, for a database whose COMMIT outlives a cancellation.
        ``commits`` is called before COMMIT is sent, maybe in another thread. If it raises an error, or the statement
        does, the transaction is rolled back; if that is not possible, the connection is closed.
        """
        raise NotImplementedError

    def is_closed(self, driver: Any) -> bool:
        """Return whether the connection is known to be closed."""
        raise NotImplementedError
