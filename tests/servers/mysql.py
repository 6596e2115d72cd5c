"""A private MySQL or MariaDB server: two programs that are set up alike."""

import getpass
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import Process, free_port, run

USER, PASSWORD = "axon", "my-throwaway-secret"

SETTINGS = """
[server]
user = {user}
datadir = {directory}/data
socket = {directory}/s.sock
pid-file = {directory}/pid
tmpdir = {directory}
bind-address = 127.0.0.1
port = {port}
skip-name-resolve
innodb-flush-log-at-trx-commit = 0
innodb-doublewrite = 0
innodb-buffer-pool-size = 128M
max-connections = 100
log-error = {directory}/server.log
"""
MARIADB_SETTINGS = """
skip-log-bin
innodb-log-file-size = 128M
"""
MYSQL_SETTINGS = """
basedir = {root}/usr
lc-messages-dir = {root}/usr/share/mysql
character-sets-dir = {root}/usr/share/mysql/charsets
plugin-dir = {root}/usr/lib/mysql/plugin
secure-file-priv = NULL
mysqlx = 0
disable-log-bin
innodb-redo-log-capacity = 128M
performance-schema = OFF
"""


@dataclass(frozen=True)
class Flavour:
    """What tells the two apart: the settings, and the commands that make a data directory and probe the server."""

    scheme: str
    server: Path
    admin: Path
    client: Path
    settings: str
    install: tuple[str | Path, ...]
    environment: tuple[str, ...] = ()


def mariadb(programs: Path) -> Flavour:
    """MariaDB, installed on the host."""
    sbin = programs.parent / "sbin"
    install = (programs / "mariadb-install-db", "--auth-root-authentication-method=normal", "--skip-test-db")
    return Flavour(
        "mariadb", sbin / "mariadbd", programs / "mariadb-admin", programs / "mariadb", MARIADB_SETTINGS, install
    )


def mysql(root: Path) -> Flavour:
    """MySQL, unpacked under ``root``."""
    server = root / "usr/sbin/mysqld"
    programs = root / "usr/bin"
    settings = MYSQL_SETTINGS.format(root=root)
    return Flavour(
        "mysql", server, programs / "mysqladmin", programs / "mysql", settings, (server, "--initialize-insecure")
    )


def start(directory: Path, flavour: Flavour, further: str = "") -> tuple[list[Process], str]:
    """Start a server in an empty directory, with ``further`` settings; give it and its URL."""
    port = free_port()
    settings = configure(directory, flavour, port, further)
    program, *options = flavour.install
    run(program, f"--defaults-file={settings}", *options)
    process = launch(directory, flavour)
    administer(directory, flavour,
        f"CREATE DATABASE axon; CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';"
        f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION")  # fmt: skip
    return [process], url_at(flavour, port)


def configure(directory: Path, flavour: Flavour, port: int, further: str = "") -> Path:
    """Write the settings of a server in a directory; what ``further`` sets again counts."""
    settings = directory / "my.cnf"
    ours = SETTINGS.format(directory=directory, port=port, user=getpass.getuser())
    settings.write_text(ours + flavour.settings + further)
    return settings


def launch(directory: Path, flavour: Flavour) -> Process:
    """Start the server whose settings and data are in a directory, and wait until it answers."""
    command: list[str | Path] = ["env", *flavour.environment, flavour.server, f"--defaults-file={directory}/my.cnf"]
    process = Process.start(command, directory / "server.log")
    process.wait_for(*ping(directory, flavour))
    return process


def ping(directory: Path, flavour: Flavour) -> list[str | Path]:
    """A command that succeeds when the server answers."""
    return [flavour.admin, *_by_socket(directory), "ping"]


def administer(directory: Path, flavour: Flavour, statements: str) -> str:
    """Run statements as the server's administrator; give what the client prints, without headings."""
    return run(flavour.client, *_by_socket(directory), "--skip-column-names", "-e", statements).strip()


def url_at(flavour: Flavour, port: int) -> str:
    """The URL of a server's database."""
    return f"{flavour.scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}/axon"


def _by_socket(directory: Path) -> list[str]:
    # the administrator's account has no password yet, and only the socket's directory to guard it
    return ["--no-defaults", "--user=root", f"--socket={directory}/s.sock"]
