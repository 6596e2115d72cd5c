"""KeptConnection: keeps a connection until the next iteration of the event loop, for the next call of the same task."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from axon_storage.engine import forks


class KeptConnection:
    """A connection of an engine's pool that is not returned at once. Get it from :func:`kept_connection_of`.

    A task that makes one call after the other takes it again, without the pool's work. It goes back to the pool in the
    next iteration of the event loop, so that whoever else needs a connection waits no longer than that.
    """

    def __init__(self) -> None:
        self._process = 0
        self._connection: PoolProxiedConnection | None = None
        self._handle: asyncio.Handle | None = None

    @property
    def info(self) -> Mapping[Any, Any] | None:
        """The ``info`` of the kept connection, or None if there is none."""
        return None if self._connection is None else self._connection.info

    def take(self) -> PoolProxiedConnection | None:
        """Return the kept connection, which is then no longer kept, or None."""
        connection, self._connection = self._connection, None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        return connection

    def keep(self, connection: PoolProxiedConnection, engine: Engine, *, wanted: bool) -> bool:
        """Keep a connection without a transaction, or return it to its pool; return whether either was possible.

        ``wanted``: another call waits for a connection. Only in a greenlet can a pool close a connection, as it does
        with one that exceeds its size.
        """
        pool = engine.pool
        if not isinstance(pool, QueuePool) or pool.overflow() > 0:
            return False
        if wanted or self._connection is not None:
            connection.close()
        else:
            self._connection, self._process = connection, os.getpid()
            self._handle = asyncio.get_running_loop().call_soon(self._release)
        return True

    def discard(self, _engine: Engine) -> None:
        """Close the connection, or in a forked child leave it to the parent; a listener for ``engine_disposed``."""
        if (connection := self.take()) is None:
            return
        if self._process == os.getpid():
            connection.invalidate()
            connection.close()
        else:
            forks.keep(connection)

    def _release(self) -> None:
        if (connection := self.take()) is not None:
            connection.close()


_by_engine: "WeakKeyDictionary[Engine, KeptConnection]" = WeakKeyDictionary()


def kept_connection_of(engine: Engine) -> KeptConnection:
    """Return the object that all storages of an engine share, and attach its listener to the engine."""
    kept = _by_engine.setdefault(engine, KeptConnection())
    if not event.contains(engine, "engine_disposed", kept.discard):
        event.listen(engine, "engine_disposed", kept.discard)
    return kept
