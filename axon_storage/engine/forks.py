"""Forked processes: a child gets new connection pools, and keeps the parent's open.

A forked child inherits the parent's connections. Using or closing them would break them for the parent. Even garbage
collection would: drivers close a collected connection, and asyncio removes its socket from the parent's event loop,
whose epoll the child shares.
"""

import os
from weakref import WeakSet

from sqlalchemy import Engine
from sqlalchemy.pool import Pool, PoolProxiedConnection

_engines: WeakSet[Engine] = WeakSet()
_inherited: list[Pool | PoolProxiedConnection] = []


def leave_to_parent(engine: Engine) -> None:
    """Replace the engine's pool in every child process that is forked from now on."""
    _engines.add(engine)


def keep(inherited: Pool | PoolProxiedConnection) -> None:
    """Keep a reference to a pool or connection of the parent, so that the child does not garbage-collect it."""
    _inherited.append(inherited)


def _in_child() -> None:
    for engine in _engines:
        keep(engine.pool)
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
