"""A private PostgreSQL server."""

from pathlib import Path

from tests.servers.process import Process, account, free_port, own, run

USER, PASSWORD = "axon", "pg-throwaway-secret"

SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
fsync = off
full_page_writes = off
shared_buffers = 128MB
max_connections = 100
max_wal_size = 1GB
"""


def start(directory: Path, programs: Path, more_settings: str = "") -> tuple[list[Process], str]:
    """Start a server in an empty directory from the binaries in ``programs``, with additional settings."""
    user = account("postgres")
    own(directory, user)
    port, data, secret = free_port(), directory / "data", directory / "password"
    secret.write_text(PASSWORD)
    own(secret, user)
    run(programs / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8",
        "--locale=C.UTF-8", "--no-sync", user=user)  # fmt: skip
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS.format(port=port, directory=directory) + more_settings)
    process = Process.start([programs / "postgres", "-D", data], directory / "server.log", user)
    process.wait_for("grep", "--quiet", "^ready", data / "postmaster.pid")  # as pg_ctl does
    return [process], f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
