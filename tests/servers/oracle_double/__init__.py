"""The Oracle double: seerdb's Mirror serves Oracle's protocol from a PostgreSQL, with the restrictions of Oracle.

It is no Oracle Database. ``__init__`` starts it from the tests' own environment; the other modules run in the double's.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.servers import postgresql
from tests.servers.process import Process, free_port, run

USER, PASSWORD = "SYSTEM", "double-throwaway-secret"
CHECKOUT = Path(__file__).parents[3]

SETTINGS = """
[server]
host = 127.0.0.1
port = {port}
log_level = ERROR
encryption = accepted
failed_login_attempts = 0

[clients]
{user} = {password}

[backend]
type = postgres
conninfo = host=127.0.0.1 port={backend_port} dbname=ora user={backend_user} password={backend_password}
presents = {presents}
"""


@dataclass(frozen=True)
class Programs:
    """The programs of the double: a Python with its packages, and a PostgreSQL with the orafce extension."""

    python: Path
    postgresql: Path


def start(directory: Path, programs: Programs, presents: str) -> tuple[list[Process], str]:
    """Start a double that presents itself as Oracle ``12.1`` or ``23ai``; return its processes and its URL."""
    below = directory / "postgresql"
    below.mkdir()
    processes, backend = postgresql.start(below, programs.postgresql)
    user, password, port = postgresql.USER, postgresql.PASSWORD, backend.rpartition(":")[2].partition("/")[0]
    database = f"host=127.0.0.1 port={port} user={user} password={password} dbname="
    psql = (programs.postgresql / "psql", "-qX", "-v", "ON_ERROR_STOP=1")
    run(*psql, database + "postgres", "-c", "CREATE DATABASE ora")
    run(*psql, database + "ora", "-c", "CREATE EXTENSION orafce")
    settings, listening = directory / "mirror.ini", free_port()
    settings.write_text(
        SETTINGS.format(
            port=listening,
            user=USER,
            password=PASSWORD,
            backend_port=port,
            backend_user=user,
            backend_password=password,
            presents=presents,
        )
    )
    serve: list[str | Path] = [programs.python, "-m", f"{__name__}.serve", "--config", settings]
    mirror = Process.start(serve, directory / "server.log", cwd=CHECKOUT)
    # the first login installs the double's data dictionary, which takes seconds
    mirror.wait_for(programs.python, "-m", f"{__name__}.probe", str(listening), USER, PASSWORD, cwd=CHECKOUT)
    return [mirror, *processes], f"oracle://{USER}:{PASSWORD}@127.0.0.1:{listening}/?service_name=FREEPDB1"
