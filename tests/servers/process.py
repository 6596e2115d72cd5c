"""A server process: start it, wait until it accepts connections, stop it."""

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 120
_PR_SET_PDEATHSIG = 1


class StartError(Exception):
    """A server did not start; the message ends with its log."""


@dataclass
class Process:
    """A running server, and the account it runs under."""

    popen: subprocess.Popen[bytes]
    log: Path
    begin: Callable[[], subprocess.Popen[bytes]]

    @classmethod
    def start(
        cls, command: Sequence[str | Path], log: Path, user: str | None = None, cwd: Path | None = None
    ) -> "Process":
        """Start a command that stays in the foreground. It is killed when this process ends, however it ends."""

        def begin() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509  # one libc call, no Python locks
                    **as_user(user, cwd),
                )

        return cls(begin(), log, begin)

    def wait_for(self, *probe: str | Path, user: str | None = None, cwd: Path | None = None) -> None:
        """Wait until a client command succeeds."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            command = [str(part) for part in probe]
            if subprocess.run(command, capture_output=True, check=False, **as_user(user, cwd)).returncode == 0:
                return
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"{command[0]}: no server; {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def restart(self) -> None:
        """Start the server again, with the same command, after it has ended."""
        self.popen.wait()
        self.popen = self.begin()

    def stop(self) -> None:
        """Kill the server. Its directory is deleted next, so it need not shut down cleanly."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()


def run(*command: str | Path, user: str | None = None) -> str:
    """Run a command, and return its output; if it fails, the error contains the output."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **as_user(user))
    if done.returncode:
        raise StartError(f"{command[0]}: {(done.stdout + done.stderr)[-2000:]}")
    return str(done.stdout)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def account(name: str) -> str | None:
    """Return the account to run a server under: ``name`` if this process is root, else its own (None)."""
    return name if os.getuid() == 0 else None


def own(path: Path, user: str | None) -> None:
    """Make the account the owner of a directory."""
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def as_user(user: str | None, cwd: Path | None = None) -> dict[str, Any]:
    """Return the arguments that make subprocess run under another account, or in another directory."""
    if user is None:
        return {"cwd": cwd}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": "/"}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
