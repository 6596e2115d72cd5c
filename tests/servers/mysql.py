"""Private MySQL and MariaDB servers, which are set up alike."""

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
basedir = {home}
lc-messages-dir = {home}/share/mysql
character-sets-dir = {home}/share/mysql/charsets
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
    """The differences between the two: settings, and the commands that create a data directory and probe the server."""

    scheme: str
    server: Path
    client: Path
    settings: str
    install: tuple[str | Path, ...]
    environment: tuple[str, ...] = ()


def mariadb(programs: Path) -> Flavour:
    """MariaDB, installed on the host or unpacked."""
    home = programs.parent
    settings = MARIADB_SETTINGS.format(home=home)
    install = (programs / "mariadb-install-db", "--auth-root-authentication-method=normal", "--skip-test-db")
    return Flavour("mariadb", home / "sbin/mariadbd", programs / "mariadb", settings, install)


def mysql(root: Path) -> Flavour:
    """MySQL, unpacked under ``root``."""
    server = root / "usr/sbin/mysqld"
    programs = root / "usr/bin"
    settings = MYSQL_SETTINGS.format(root=root)
    return Flavour("mysql", server, programs / "mysql", settings, (server, "--initialize-insecure"))


def start(directory: Path, flavour: Flavour, more_settings: str = "") -> tuple[list[Process], str]:
    """Start a server in an empty directory, with additional settings; return it and its URL."""
    port = free_port()
    settings = configure(directory, flavour, port, more_settings)
    program, *options = flavour.install
    run(program, f"--defaults-file={settings}", *options)
    process = launch(directory, flavour)
    administer(directory, flavour,
        f"CREATE DATABASE axon; CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';"
        f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION")  # fmt: skip
    return [process], url_at(flavour, port)


def configure(directory: Path, flavour: Flavour, port: int, more_settings: str = "") -> Path:
    """Write the settings of a server in a directory; additional settings override the others."""
    settings = directory / "my.cnf"
    ours = SETTINGS.format(directory=directory, port=port, user=getpass.getuser())
    settings.write_text(ours + flavour.settings + more_settings)
    return settings


def launch(directory: Path, flavour: Flavour) -> Process:
    """Start the server whose settings and data are in a directory, and wait until it accepts connections."""
    command: list[str | Path] = ["env", *flavour.environment, flavour.server, f"--defaults-file={directory}/my.cnf"]
    process = Process.start(command, directory / "server.log")
    process.wait_for(*ping(directory, flavour))
    return process


def ping(directory: Path, flavour: Flavour) -> list[str | Path]:
    """Return a command that succeeds when the server accepts connections."""
    return [flavour.client, *_by_socket(directory), "-e", "SELECT 1"]


def administer(directory: Path, flavour: Flavour, statements: str) -> str:
    """Run statements as the server's administrator, and return the client's output without headings."""
    return run(flavour.client, *_by_socket(directory), "--skip-column-names", "-e", statements).strip()


def url_at(flavour: Flavour, port: int) -> str:
    """Return the URL of a server's database."""
    return f"{flavour.scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}/axon"


def _by_socket(directory: Path) -> list[str]:
    # the administrator's account has no password yet; only the permissions of the socket's directory protect it
    return ["--no-defaults", "--user=root", f"--socket={directory}/s.sock"]
