"""The pool of connections that only group commits use."""

import os
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from axon_storage.dialects import Dialect, dialect_of
from axon_storage.engine.events import allows_autocommit
from axon_storage.engine.forks import keep

_WAITS_BRIEFLY = "axon_storage_waits_briefly"  # a key of a connection's info

_group_pools: "WeakKeyDictionary[Engine, tuple[int, Pool]]" = WeakKeyDictionary()
"""The pool of each engine, with the id of the process that created it."""


def connect_for_group(engine: Engine, owner: Engine) -> Connection:
    """Return a connection from the pool of group commits. Its session waits briefly for locks, unless it is shared.

    The pool has the settings of ``owner``'s pool. It is separate, so that open transactions cannot take all
    connections, and is disposed of with ``owner``. ``engine`` is ``owner``, or ``owner`` with other execution options.
    """
    connection = Connection(engine, _group_pool(owner).connect())
    if _WAITS_BRIEFLY not in connection.info:
        try:
            dialect = dialect_of(connection.dialect)
            connection.info[_WAITS_BRIEFLY] = allows_autocommit(connection) and dialect.wait_briefly(connection)
            connection.commit()
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
    return connection


def waits_briefly(connection: Connection) -> bool:
    """Return whether the session of a connection waits only briefly for a lock."""
    return bool(connection.info.get(_WAITS_BRIEFLY))


def begin_for_group(connection: Connection, dialect: Dialect) -> None:
    """Set the short lock timeout for a transaction, unless :func:`connect_for_group` has set it for the session."""
    if not waits_briefly(connection):
        for statement in dialect.brief_lock_waits_local:
            connection.exec_driver_sql(statement)
    # The dialect of a connection may be known better than when the storage was made.
    for statement in dialect_of(connection.dialect).brief_lock_waits_elsewhere:
        connection.exec_driver_sql(statement)


def group_pool_of(engine: Engine) -> Pool | None:
    """Return the pool of an engine's group commits, or None if it has not been used."""
    return _group_pools.get(engine, (0, None))[1]


def _group_pool(engine: Engine) -> Pool:
    if engine not in _group_pools:
        _group_pools[engine] = os.getpid(), engine.pool.recreate()
        if not event.contains(engine, "engine_disposed", _dispose_of_group_pool):
            event.listen(engine, "engine_disposed", _dispose_of_group_pool)
    return _group_pools[engine][1]


def _dispose_of_group_pool(engine: Engine) -> None:
    process, pool = _group_pools.pop(engine, (0, None))
    if pool is None:
        return
    if process == os.getpid():
        pool.dispose()
    else:
        keep(pool)
