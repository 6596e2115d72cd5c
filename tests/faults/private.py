"""Durable servers that belong to one test, which can kill, restart, fill up or reconfigure them."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from tests.databases import skip_without
from tests.servers import mysql, packages, postgresql
from tests.servers.process import Process, run

KINDS = ["postgresql", "mariadb", "mysql"]

_DURABLE = {
    "postgresql": "\nfsync = on\nfull_page_writes = on\n",
    "mariadb": "\ninnodb-flush-log-at-trx-commit = 1\ninnodb-doublewrite = 1\n",
    "mysql": "\ninnodb-flush-log-at-trx-commit = 1\ninnodb-doublewrite = 1\n",
}


@contextmanager
def disk(mebibytes: int) -> Iterator[Path]:
    """Mount a file system of this size, and yield its directory."""
    directory = Path(tempfile.mkdtemp(prefix="axon-disk-"))
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=711", "tmpfs", str(directory)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            skip_without("a small disk", f"it cannot be mounted: {done.stderr.strip()}")
        try:
            yield directory
        finally:
            run("umount", "--lazy", directory)
    finally:
        directory.rmdir()


@contextmanager
def server(kind: str, more_settings: str = "", parent: Path | None = None) -> Iterator[tuple[Process, str]]:
    """Start a server in a new directory in ``parent``; yield its process and its URL.

    ``more_settings`` are lines of its configuration file, in which ``{directory}`` stands for the server's directory.
    """
    programs = {"postgresql": packages.postgresql, "mariadb": packages.mariadb, "mysql": packages.mysql}[kind]()
    if programs is None:
        skip_without(kind, "its programs are not on this machine, and `make servers` could not get them")
    directory = Path(tempfile.mkdtemp(prefix=f"axon-fault-{kind}-", dir=parent))
    directory.chmod(0o711)
    settings = _DURABLE[kind] + more_settings.format(directory=directory)
    try:
        if kind == "postgresql":
            [process], url = postgresql.start(directory, programs, settings)
        else:
            flavour = mysql.mariadb(programs) if kind == "mariadb" else mysql.mysql(programs)
            [process], url = mysql.start(directory, flavour, settings)
        try:
            yield process, url
        finally:
            process.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def port_of(url: str) -> int:
    """Return the port in a server's URL."""
    return make_url(url).port or 0


def with_hosts(url: str | URL, *hosts: str | None, **parameters: str) -> str:
    """Return a URL with these hosts; None stands for its own."""
    parsed = make_url(url)
    own = f"{parsed.host}:{parsed.port}"
    made = URL.create(
        parsed.drivername,
        parsed.username,
        parsed.password,
        database=parsed.database,
        query={**parsed.query, **parameters, "host": [host or own for host in hosts]},
    )
    return made.render_as_string(hide_password=False)
