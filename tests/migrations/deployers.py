"""Deployers as processes of their own, forked, since each needs the package imported.

``deployers crowd URL``, ``deployers kill URL STEP``.

``crowd`` starts eight upgrades at once and prints, as JSON, how many changes each has made, or null where it failed.
``kill`` upgrades again and again, killed with SIGKILL after its first change, then ``STEP`` changes later, and so on.
Each time it runs the upgrade once more, which must complete, and brings the schema down. It prints how often it killed.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

from sqlalchemy import Engine, event

from axon_storage import schema
from axon_storage.schema.lock import MigrationTimeouts

CROWD = 8
_FAILED = 99


def _upgrade(url: str, *, killed_after: int | None = None) -> int:
    """Upgrade, and give the number of statements that changed something."""
    changes = 0

    def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        nonlocal changes
        if statement.startswith("ALTER SESSION") or (killed_after is None and "axon_storage_lock" in statement):
            return  # who waits for the lock on Oracle makes its table, too
        if statement.split(maxsplit=1)[0] in {"CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"}:
            changes += 1
            if changes == killed_after:
                os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "after_cursor_execute", count)
    asyncio.run(schema.upgrade(url, timeouts=MigrationTimeouts(deployer=300)))
    return changes


def _forked(work: Callable[[], int]) -> int:
    """Run work in a child, and give the child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        except BaseException:
            logging.exception("a deployer failed")
            os._exit(_FAILED)
    return child


def _end(child: int) -> int | None:
    """A child's exit code; None where it was killed."""
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def crowd(url: str) -> None:
    """Start eight at once."""
    children = [_forked(lambda: _upgrade(url)) for _ in range(CROWD)]
    print(json.dumps([_end(child) for child in children]))  # noqa: T201  # a command's output


def kill(url: str, step: int) -> None:
    """Kill one after each change, or each few."""
    changes, killed = 1, 0
    while (ended := _end(_forked(partial(_upgrade, url, killed_after=changes)))) is None:
        if (code := _end(_forked(lambda: _complete(url)))) != 0:
            sys.exit(f"killed after change {changes}: {code}")
        changes, killed = changes + step, killed + 1
    if ended == _FAILED:
        sys.exit(f"not killed at change {changes}, and failed")
    print(killed)  # noqa: T201  # a command's output


def _complete(url: str) -> int:
    async def complete() -> int:
        await schema.upgrade(url, timeouts=MigrationTimeouts(deployer=30))
        if differences := await schema.differences(url):
            raise AssertionError(differences)
        await schema.downgrade(url, "base")
        return 0

    return asyncio.run(complete())


if __name__ == "__main__":
    if sys.argv[1] == "crowd":
        crowd(sys.argv[2])
    else:
        kill(sys.argv[2], int(sys.argv[3]))
