"""A pytest plugin for the previous release's suite: its databases get the schema of the checkout that runs it."""

import asyncio
import os
import sys
from typing import Any

from axon_storage import schema

_own_upgrade, _own_check = schema.upgrade, schema.check


async def _upgrade(target: Any, revision: str = "head", **options: Any) -> None:
    """Upgrade a database with the newer package. An engine, as when a file is opened, keeps the previous release's."""
    if not isinstance(target, str) or revision != "head":
        await _own_upgrade(target, revision, **options)
        return
    newer = {**os.environ, "PYTHONPATH": os.environ["AXON_NEWER_CHECKOUT"], "DATABASE_URL": target}
    command = (sys.executable, "-m", "axon_storage", "migrate", "upgrade")
    process = await asyncio.create_subprocess_exec(*command, cwd="/", env=newer)
    if await process.wait():
        raise RuntimeError("the newer package could not upgrade the database")
    if await schema.current(target) in {None, schema.head()}:
        raise RuntimeError("the schema of the database is not newer than this release")


async def _check(engine: Any, *, allow_ahead: bool = False) -> None:
    """Accept a newer schema, as a server does during a rolling deployment."""
    del allow_ahead
    await _own_check(engine, allow_ahead=True)


schema.upgrade, schema.check = _upgrade, _check
