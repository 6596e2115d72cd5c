"""A PostgreSQL server and a standby of it, which change places when the primary is killed."""

import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from tests.servers import postgresql
from tests.servers.process import Process, account, free_port, run

SETTINGS = """
wal_level = replica
max_wal_senders = 5
hot_standby = on
wal_log_hints = on
autovacuum = off
"""
STANDBY = "standby"


@dataclass
class Server:
    """One of the two servers."""

    process: Process
    data: Path
    url: URL


class Pair:
    """A primary and a standby. With ``synchronous`` a COMMIT waits until the standby has the transaction."""

    def __init__(self, directory: Path, programs: Path, *, synchronous: bool = True) -> None:
        self._directory, self._programs, self._user = directory, programs, account("postgres")
        [process], url = postgresql.start(directory, programs, SETTINGS)
        self.primary = Server(process, directory / "data", make_url(url))
        self._waits = synchronous
        try:
            self.standby = self._add_standby(directory / "second")
        except BaseException:
            process.stop()
            raise

    @property
    def hosts(self) -> list[str]:
        """The two servers, in the order of their ports."""
        return sorted(f"127.0.0.1:{server.url.port}" for server in (self.primary, self.standby))

    def url(self, *hosts: str) -> str:
        """Return the URL of both servers, or of other hosts in front of them."""
        own, query = self.primary.url, {"host": hosts or tuple(self.hosts)}
        made = URL.create(own.drivername, own.username, own.password, database=own.database, query=query)
        return made.render_as_string(hide_password=False)

    def kill_primary(self) -> None:
        """Kill the primary and all its processes, as a power failure does."""
        pid = self.primary.process.popen.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.primary.process.stop()
        for child in children:  # they would end by themselves, but go on for a moment
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def promote(self) -> None:
        """Make the standby the primary, which waits for no other."""
        run(self._programs / "pg_ctl", "promote", "-w", "-D", self.standby.data, user=self._user)
        self.primary, self.standby = self.standby, self.primary

    def bring_back(self) -> None:
        """Make the killed server, if one was killed, a standby of the other, from a new copy of its data."""
        if self.standby.process.popen.poll() is None:
            return
        shutil.rmtree(self.standby.data)
        self.standby = self._add_standby(self.standby.data, self.standby.url.port)

    def stop(self) -> None:
        """Stop both servers."""
        for server in (self.primary, self.standby):
            server.process.stop()

    def ask(self, statement: str) -> str:
        """Run a statement on the primary as its administrator."""
        password = f"PGPASSWORD={self.primary.url.password}"
        return run("env", password, self._programs / "psql", *self._at_primary(), "-d", "postgres", "-Atc", statement)

    def _at_primary(self) -> list[str]:
        url = self.primary.url
        return ["-h", "127.0.0.1", "-p", str(url.port), "-U", str(url.username)]

    def _add_standby(self, data: Path, port: int | None = None) -> Server:
        self.ask("ALTER SYSTEM RESET synchronous_standby_names")
        port = port or free_port()
        own = self.primary.url
        backup: list[str | Path] = ["-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        run("env", f"PGPASSWORD={own.password}", self._programs / "pg_basebackup", *self._at_primary(), *backup,
            user=self._user)  # fmt: skip
        settings = data / "postgresql.auto.conf"
        with settings.open("a") as more:
            more.write(f"port = {port}\ncluster_name = '{STANDBY}'\n")
        process = Process.start([self._programs / "postgres", "-D", data], self._directory / "standby.log", self._user)
        process.wait_for(self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port))
        if self._waits:
            self.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
            self.ask("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")
        self.ask("SELECT pg_reload_conf()")
        return Server(process, data, own.set(port=port))
