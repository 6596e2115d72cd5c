"""The generation of an engine's connections: after a fail-over all of them are given up together."""

from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Dialect as DriverDialect
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry


class Generation:
    """The number of the generation that the pools of an engine may use, including the pool of group commits.

    A connection belongs to the generation in which it is first used. If one is lost, or answers that its server has
    become read-only, the others that are idle lead to the same server: a call could meet one in each of its attempts.
    """

    shortest_seconds: ClassVar[float] = 1.0
    """How long a generation lasts at least.

    On a server that stays read-only, reads do not connect again for each write that fails.
    """

    def __init__(self) -> None:
        self._number, self._began = 0, -inf

    def checkout(self, _connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        """Replace a connection of an earlier generation; a listener for ``checkout``."""
        # under its own key, because an engine with the same settings has a generation and this listener
        if record.info.setdefault(self, self._number) != self._number:
            raise DisconnectionError  # the pool connects again

    def is_current(self, info: Mapping[Any, Any]) -> bool:
        """Return whether a connection with this ``info`` belongs to the current generation."""
        return bool(info.get(self) == self._number)

    def end(self, info: Mapping[Any, Any] | None) -> None:
        """Give up all connections, because of the answer on one; do nothing if they have been given up since.

        ``info``: that of the connection; None if it is invalidated.
        """
        if (info is None or self.is_current(info)) and (now := monotonic()) >= self._began + self.shortest_seconds:
            self._number, self._began = self._number + 1, now


# by SQLAlchemy's dialect, which an engine shares with its copies that have other execution options
_by_dialect: "WeakKeyDictionary[DriverDialect, Generation]" = WeakKeyDictionary()


def generation_of(engine: Engine) -> Generation:
    """Return the object that all storages of an engine share, and attach its listener to the engine's pool."""
    generation = _by_dialect.setdefault(engine.dialect, Generation())
    if not event.contains(engine, "checkout", generation.checkout):
        event.listen(engine, "checkout", generation.checkout)
    return generation
