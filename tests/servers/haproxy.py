"""A private HAProxy in front of servers, which makes connections to the one whose check succeeds."""

from collections.abc import Mapping
from pathlib import Path

from tests.servers.process import Process, account, free_port, own

SETTINGS = """
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s

listen primary
  bind 127.0.0.1:{port}
  option httpchk GET /primary
  option redispatch 1
  default-server inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
"""


def start(directory: Path, root: Path, checks: Mapping[str, int]) -> tuple[Process, str]:
    """Start a proxy from the programs below ``root``; return it and its host.

    ``checks``: the servers, each with the port that answers ``GET /primary`` with 200 while it is the primary.
    """
    user = account("postgres")
    own(directory, user)
    port, settings = free_port(), directory / "haproxy.cfg"
    servers = [f"  server s{number} {host} check port {check}" for number, (host, check) in enumerate(checks.items())]
    settings.write_text("\n".join([SETTINGS.format(port=port), *servers, ""]))
    process = Process.start([root / "usr/sbin/haproxy", "-db", "-f", settings], directory / "haproxy.log")
    process.wait_for("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}")
    return process, f"127.0.0.1:{port}"
