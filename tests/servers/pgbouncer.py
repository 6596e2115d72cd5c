"""A private pgbouncer in transaction mode, in front of a PostgreSQL server."""

import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.process import Process, account, free_port, own

SETTINGS = """
[databases]
* = host={server.hostname} port={server.port} user={server.username} password={server.password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = {pool_size}
"""

_AS_ROOT = "user = postgres\n"  # it starts as root, which can read the programs, and changes to this account


def start(
    directory: Path, root: Path, server_url: str, *, pool_size: int = 2, more_settings: str = ""
) -> tuple[Process, str]:
    """Start a pooler from the programs below ``root``; return it and the URL of the server through it.

    ``pool_size``: the number of connections to each database of the server.
    """
    user = account("postgres")
    own(directory, user)
    server, port = urlsplit(server_url), free_port()
    users, settings = directory / "users", directory / "pgbouncer.ini"
    users.write_text(f'"{server.username}" "{server.password}"\n')
    text = SETTINGS.format(server=server, port=port, directory=directory, pool_size=pool_size) + more_settings
    settings.write_text(text + (_AS_ROOT if user else ""))
    for path in (users, settings):
        own(path, user)
    process = Process.start([root / "usr/sbin/pgbouncer", settings], directory / "pgbouncer.log")
    url = server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{port}").geturl()
    process.wait_for("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}")
    return process, url


def lead_to(directory: Path, process: Process, port: int) -> None:
    """Make a pooler connect to another server on this machine, as its administrator does."""
    settings = directory / "pgbouncer.ini"
    settings.write_text(re.sub(r"(?<= port=)\d+", str(port), settings.read_text()))
    process.popen.send_signal(signal.SIGHUP)
