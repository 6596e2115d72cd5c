"""The pool of connections that only group commits use."""

import os
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from axon_storage.dialects import Dialect
from axon_storage.engine.events import allows_autocommit
from axon_storage.engine.forks import keep

_WAITS_BRIEFLY = "axon_storage_waits_briefly"  # a key of a connection's info

_group_pools: "WeakKeyDictionary[Engine, tuple[int, Pool]]" = WeakKeyDictionary()
"""The pool of each engine, with the id of the process that created it."""


def connect_for_group(engine: Engine, owner: Engine, dialect: Dialect) -> Connection:
    """Return a connection for group commits, whose statements wait for a lock only briefly.

    It comes from a second pool, with the settings of the pool of ``owner``, so that open transactions cannot take all
    connections. ``owner.dispose()`` disposes of both pools. ``engine`` is ``owner``, or ``owner`` with other execution
    options.
    """
    connection = Connection(engine, _group_pool(owner).connect())
    if _WAITS_BRIEFLY not in connection.info and allows_autocommit(connection):
        try:
            for statement in dialect.brief_lock_waits:
                connection.exec_driver_sql(statement)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        connection.info[_WAITS_BRIEFLY] = True
    return connection


def begin_for_group(connection: Connection, dialect: Dialect) -> None:
    """Make a transaction wait for locks only briefly, unless :func:`connect_for_group` has done so for its session."""
    if _WAITS_BRIEFLY not in connection.info:
        for statement in dialect.brief_lock_waits_local:
            connection.exec_driver_sql(statement)


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
