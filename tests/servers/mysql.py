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
    port, settings = free_port(), directory / "my.cnf"
    ours = SETTINGS.format(directory=directory, port=port, user=getpass.getuser())
    settings.write_text(ours + flavour.settings + further)
    program, *options = flavour.install
    run(program, f"--defaults-file={settings}", *options)
    process = Process.start([flavour.server, f"--defaults-file={settings}"], directory / "server.log")
    socket = f"--socket={directory}/s.sock"
    process.wait_for(flavour.admin, "--no-defaults", "--user=root", socket, "ping")
    # the administrator's account has no password yet, and only the socket's directory to guard it
    run(flavour.client, "--no-defaults", "--user=root", socket, "-e",
        f"CREATE DATABASE axon; CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';"
        f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION")  # fmt: skip
    return [process], f"{flavour.scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}/axon"
