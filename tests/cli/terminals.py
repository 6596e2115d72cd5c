"""Runs a command on a pseudo terminal."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from typing import NamedTuple

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Output(NamedTuple):
    """What a command wrote to its terminal, without escape sequences, and its exit status."""

    text: str
    raw: str
    status: int


def run_on_terminal(arguments: Sequence[str], url: str, *, columns: int, answer: str = "") -> Output:
    """Run ``axon-storage`` on a terminal of this width, and type an answer."""
    keyboard, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    environment |= {"DATABASE_URL": url, "TERM": "xterm"}
    command = [sys.executable, "-m", "axon_storage", *arguments]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    if answer:
        os.write(keyboard, f"{answer}\n".encode())
    written = b""
    try:
        while data := os.read(keyboard, 65536):
            written += data
    except OSError:  # Linux reports the end of the other side as an error
        pass
    finally:
        os.close(keyboard)
    raw = written.decode().replace("\r\n", "\n")
    return Output(_ESCAPES.sub("", raw), raw, process.wait())
