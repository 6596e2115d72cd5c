"""A process that is forked inherits the parent's connections, and must not use, close or even forget them."""

import os
from weakref import WeakSet

from sqlalchemy import Engine
from sqlalchemy.pool import Pool

_engines: WeakSet[Engine] = WeakSet()
_inherited: list[Pool] = []


def leave_to_parent(engine: Engine) -> None:
    """Give an engine a new pool in every child that is forked from now on."""
    _engines.add(engine)


def keep(pool: Pool) -> None:
    """Keep a pool of the parent's from being collected in the child.

    Drivers would close its connections, and asyncio would take them out of the parent's event loop, whose epoll the
    child shares.
    """
    _inherited.append(pool)


def _in_child() -> None:
    for engine in _engines:
        keep(engine.pool)
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
