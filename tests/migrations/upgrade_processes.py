"""Run processes that upgrade one database. They are forked, because each needs the imported package.

``python -m tests.migrations.upgrade_processes concurrent URL`` starts eight upgrades at once. It prints, as JSON, how
many changes each has made, or null if it failed.

``python -m tests.migrations.upgrade_processes kill URL STEP`` upgrades again and again. It kills the first upgrade
after its first change, the next one ``STEP`` changes later, and so on. After each it runs a whole upgrade, which must
complete, and a downgrade. It prints how many it killed.
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
from axon_storage.schema import MigrationTimeouts

UPGRADES = 8
_FAILED = 99
_CHANGES = {"CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"}


def _upgrade(url: str, *, killed_after: int | None = None) -> int:
    """Upgrade, and return the number of statements that changed something."""
    changes = 0

    def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        nonlocal changes
        if statement.startswith("ALTER SESSION") or (killed_after is None and "axon_storage_lock" in statement):
            return  # on Oracle a process that waits for the lock also creates the lock's table
        if statement.split(maxsplit=1)[0] in _CHANGES:
            changes += 1
            if changes == killed_after:
                os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "after_cursor_execute", count)
    asyncio.run(schema.upgrade(url, timeouts=MigrationTimeouts(schema_lock=300)))
    return changes


def _fork(function: Callable[[], int]) -> int:
    """Run a function in a child process, and return its process id. The exit code is the function's result."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(function())
        except BaseException:
            logging.exception("an upgrade failed")
            os._exit(_FAILED)
    return child


def _exit_code(child: int) -> int | None:
    """Wait for a child; return its exit code, or None if it was killed."""
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def concurrent(url: str) -> None:
    """Start eight upgrades at once."""
    children = [_fork(lambda: _upgrade(url)) for _ in range(UPGRADES)]
    print(json.dumps([_exit_code(child) for child in children]))  # noqa: T201  # a command's output


def kill(url: str, step: int) -> None:
    """Kill an upgrade after each change, or after every ``step`` changes."""
    changes, killed = 1, 0
    while (code := _exit_code(_fork(partial(_upgrade, url, killed_after=changes)))) is None:
        if (completed := _exit_code(_fork(lambda: _complete(url)))) != 0:
            sys.exit(f"killed after change {changes}: {completed}")
        changes, killed = changes + step, killed + 1
    if code == _FAILED:
        sys.exit(f"not killed at change {changes}, and failed")
    print(killed)  # noqa: T201  # a command's output


def _complete(url: str) -> int:
    async def complete() -> int:
        await schema.upgrade(url, timeouts=MigrationTimeouts(schema_lock=30))
        if differences := await schema.differences(url):
            raise AssertionError(differences)
        await schema.downgrade(url, "base")
        return 0

    return asyncio.run(complete())


if __name__ == "__main__":
    if sys.argv[1] == "concurrent":
        concurrent(sys.argv[2])
    else:
        kill(sys.argv[2], int(sys.argv[3]))
