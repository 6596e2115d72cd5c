"""The servers of one test run: each is started when the first test needs it, and stopped at the end."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.servers import mysql, oracle_double, packages, pgbouncer, postgresql
from tests.servers.process import Process, StartError

SERVED = ("postgresql", "mariadb", "mysql", "oracle-double-12.1", "oracle-double-23ai")
"""The servers that can be started here."""

NEEDED = (*SERVED, "galera", "group-replication", "pgbouncer", "haproxy", "oracle", "oracle-grammar", "citus")
"""What ``AXON_TEST_REQUIRE`` may name."""


def _given(name: str) -> str | None:
    return os.environ.get(f"AXON_TEST_{re.sub('[^A-Z0-9]', '_', name.upper())}_URL")


GIVEN = {name: url for name in (*SERVED, "oracle", "citus") if (url := _given(name))}
"""The servers given by ``AXON_TEST_<NAME>_URL``; an Oracle Database and a Citus cluster can only be given this way."""

ORACLES = ["oracle-double-12.1", "oracle-double-23ai", *(["oracle"] if "oracle" in GIVEN else [])]
"""The servers of this run that speak Oracle's protocol."""

NOT_EXERCISED: dict[str, str] = {}
"""The servers that were missing in this run, each with the reason."""


Find = Callable[[], Any]
Start = Callable[[Path, Any], tuple[list[Process], str]]

_POOLER_SESSIONS = 40  # tests hold many transactions open at once


class UnavailableError(Exception):
    """A server is not available on this machine; the message says why."""


class Servers:
    """Provides the URL of each server: that of the environment, else that of a private server."""

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}
        self._running: list[tuple[list[Process], Path]] = []

    def url(self, name: str) -> str:
        """Return the URL of an administrator's account on a server."""
        return GIVEN.get(name) or self._once(name, *_STARTS[name])

    def pooler(self, age: str) -> str:
        """Return the URL of the account on the PostgreSQL server through the ``old`` or the ``new`` pgbouncer."""
        start = partial(_start_pooler, server_url=self.url("postgresql"))
        return self._once(f"pgbouncer-{age}", partial(packages.pgbouncer, age), start)

    def _once(self, name: str, find: Find, start: Start) -> str:
        if name in NOT_EXERCISED:
            raise UnavailableError(NOT_EXERCISED[name])
        if name not in self._urls:
            try:
                self._urls[name] = self._start(name, find, start)
            except (StartError, OSError, LookupError) as error:
                NOT_EXERCISED[name] = str(error)
                raise UnavailableError(str(error)) from error
        return self._urls[name]

    def stop(self) -> None:
        """Stop the servers that this object has started."""
        while self._running:
            processes, directory = self._running.pop()
            for process in processes:
                process.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def _start(self, name: str, find: Find, start: Start) -> str:
        programs = find()
        if programs is None:
            raise StartError("its programs are not on this machine, and `make servers` could not get them")
        directory = Path(tempfile.mkdtemp(prefix=f"axon-{name}-"))
        directory.chmod(0o711)  # the server may run under another account
        try:
            processes, url = start(directory, programs)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        self._running.append((processes, directory))
        return url


def _start_pooler(directory: Path, root: Path, server_url: str) -> tuple[list[Process], str]:
    process, url = pgbouncer.start(directory, root, server_url, pool_size=_POOLER_SESSIONS)
    return [process], url


_STARTS: dict[str, tuple[Find, Start]] = {
    "postgresql": (packages.postgresql, postgresql.start),
    "mariadb": (packages.mariadb, lambda directory, programs: mysql.start(directory, mysql.mariadb(programs))),
    "mysql": (packages.mysql, lambda directory, root: mysql.start(directory, mysql.mysql(root))),
    "oracle-double-12.1": (packages.oracle_double, partial(oracle_double.start, presents="12.1")),
    "oracle-double-23ai": (packages.oracle_double, partial(oracle_double.start, presents="23ai")),
}
