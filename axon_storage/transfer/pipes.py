"""Pipes that a thread reads or writes, and that another thread can stop."""

import io
import os
import select
import threading
from typing import IO

_MILLISECONDS = 200


class Pipe:
    """A pipe or a terminal. :meth:`stop` ends a call that waits for the other side."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._stopped = file, threading.Event()

    def read(self, size: int = -1) -> bytes:
        """Return what the other side has sent, at most ``size`` bytes; nothing at its end."""
        self._wait(select.POLLIN)
        return getattr(self._file, "read1", self._file.read)(size)

    def write(self, data: bytes) -> int:
        """Send all bytes."""
        self._file.flush()
        rest = memoryview(data)
        while rest:
            self._wait(select.POLLOUT)
            rest = rest[os.write(self._file.fileno(), rest[: select.PIPE_BUF]) :]  # for so many there is room
        return len(data)

    def flush(self) -> None:
        """Do nothing, since nothing is buffered."""

    def stop(self) -> None:
        """End a call that waits, with an InterruptedError."""
        self._stopped.set()

    def _wait(self, for_event: int) -> None:
        poll = select.poll()
        poll.register(self._file, for_event)
        while not self._stopped.is_set():
            if poll.poll(_MILLISECONDS):
                return
        raise InterruptedError


def pipe_of(file: IO[bytes]) -> Pipe | None:
    """Return the pipe that a file of the system is; None for another file, and for an object that changes the bytes."""
    raw = getattr(file, "raw", file)
    return Pipe(file) if isinstance(raw, io.FileIO) and not raw.seekable() else None
