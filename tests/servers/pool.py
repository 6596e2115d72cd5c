"""The servers of one test run: each started when the first test asks for it, all stopped at the end."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.servers import mysql, packages, postgresql
from tests.servers.process import Process, StartError

SERVED = ("postgresql", "mariadb", "mysql")
"""The servers there are, by the name used in ``AXON_TEST_<NAME>_URL`` and ``AXON_TEST_REQUIRE``."""

NOT_EXERCISED: dict[str, str] = {}
"""The servers a run had to do without, each with the reason."""


class UnavailableError(Exception):
    """A server that cannot be had on this machine; the message says why."""


class Servers:
    """Gives the URL of each server: from the environment where one is given, else of a private one."""

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}
        self._running: list[tuple[Process, Path]] = []

    def url(self, name: str) -> str:
        """The URL of an administrator's account on a server."""
        if name in NOT_EXERCISED:
            raise UnavailableError(NOT_EXERCISED[name])
        if name not in self._urls:
            try:
                self._urls[name] = os.environ.get(f"AXON_TEST_{name.upper()}_URL") or self._start(name)
            except (StartError, OSError, LookupError) as error:
                NOT_EXERCISED[name] = str(error)
                raise UnavailableError(str(error)) from error
        return self._urls[name]

    def stop(self) -> None:
        """Stop the servers that were started here, and no other."""
        while self._running:
            process, directory = self._running.pop()
            process.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def _start(self, name: str) -> str:
        find, start = _STARTS[name]
        programs = find()
        if programs is None:
            raise StartError("its programs are not on this machine, and `make servers` could not get them")
        directory = Path(tempfile.mkdtemp(prefix=f"axon-{name}-"))
        directory.chmod(0o711)  # the server may run under another account
        try:
            process, url = start(directory, programs)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        self._running.append((process, directory))
        return url


_STARTS: dict[str, tuple[Callable[[], Path | None], Callable[[Path, Path], tuple[Process, str]]]] = {
    "postgresql": (packages.postgresql, postgresql.start),
    "mariadb": (packages.mariadb, lambda directory, programs: mysql.start(directory, mysql.mariadb(programs))),
    "mysql": (packages.mysql, lambda directory, root: mysql.start(directory, mysql.mysql(root))),
}
