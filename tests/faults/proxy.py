"""A TCP proxy on loopback that does to connections what networks and servers do."""

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# asyncpg's and the MySQL drivers' text, and Oracle's call number 14 at the head of a message
COMMIT = re.compile(rb"COMMIT(?!TED)|^.{8,10}\x03\x0e", re.DOTALL)  # asyncpg begins with READ COMMITTED
_RESET = struct.pack("ii", 1, 0)

Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]
"""To the client and to the server, of one connection."""


class Proxy:
    """Passes bytes on to a server's port, with the faults that are set on it.

    ``latency``: seconds before each piece is passed on. ``flows`` unset: nothing is passed on. ``refusing``: new
    connections are reset. ``rate``: bytes a second, None for no limit. :meth:`once` arms a fault for the next COMMIT.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.latency, self.refusing = 0.0, False
        self.flows = asyncio.Event()
        self.flows.set()
        self.rate: float | None = None
        self.injected: Counter[str] = Counter()
        self._armed: str | None = None
        self._unanswered: set[Pair] = set()
        self._pairs: set[Pair] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Listen on a free port, which is given, until the block ends."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            self.cut()
            for pump in list(self._pumps):
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._pairs)

    def cut(self) -> None:
        """Reset every connection at once."""
        for pair in list(self._pairs):
            self._reset(pair)

    def once(self, fault: str) -> None:
        """Arm a fault for the next COMMIT: ``before`` it is passed on, ``inside`` it, or ``after``, its answer lost."""
        self._armed = fault

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            self.injected["refused"] += 1
            _abort(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            _abort(writer)
            return
        pair = (writer, server_writer)
        self._pairs.add(pair)
        for source, target, look in ((reader, server_writer, self._commit), (server_reader, writer, self._answer)):
            pump = asyncio.create_task(self._pump(source, target, pair, look))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        pair: Pair,
        look: Callable[[bytes, Pair], bool],
    ) -> None:
        try:
            while piece := await source.read(65_536):
                await self._hold(piece)
                if look(piece, pair):
                    await target.drain()
                    self._reset(pair)
                    return
                target.write(piece)
                await target.drain()
        except OSError:
            pass  # the other side went away, which is what is told next
        finally:
            target.close()
            self._pairs.discard(pair)

    async def _hold(self, piece: bytes) -> None:
        pause = self.latency + (len(piece) / self.rate if self.rate else 0)
        if pause:
            await asyncio.sleep(pause)
        await self.flows.wait()

    def _commit(self, piece: bytes, pair: Pair) -> bool:
        """Carry out the armed fault where the piece holds a COMMIT; True where the connection ends with it."""
        fault, found = self._armed, COMMIT.search(piece)
        if fault is None or found is None:
            return False
        self._armed = None
        self.injected[f"cut {fault} COMMIT"] += 1
        if fault == "after":  # a reset now might reach the server before the COMMIT
            self._unanswered.add(pair)
            return False
        pair[1].write(b"" if fault == "before" else piece[: found.start() + 3])
        return True

    def _answer(self, _piece: bytes, pair: Pair) -> bool:
        """Whether the piece is the answer that is to be lost."""
        return pair in self._unanswered

    def _reset(self, pair: Pair) -> None:
        self._pairs.discard(pair)
        self._unanswered.discard(pair)
        for writer in pair:
            _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def storm(proxy: Proxy, dice: random.Random, done: asyncio.Event) -> None:
    """One fault after another, at random, until ``done``."""
    while not done.is_set():
        await asyncio.sleep(dice.uniform(0.01, 0.08))
        match dice.choice(["before", "inside", "after", "after", "cut", "stall", "refuse", "latency", "throttle"]):
            case "cut":
                proxy.injected["cut anywhere"] += 1
                proxy.cut()
            case "stall":
                proxy.injected["stalled"] += 1
                proxy.flows.clear()
                await asyncio.sleep(dice.uniform(0.05, 0.3))
                proxy.flows.set()
            case "refuse":
                proxy.refusing = True
                proxy.cut()
                await asyncio.sleep(dice.uniform(0.05, 0.2))
                proxy.refusing = False
            case "latency":
                proxy.injected["latency"] += 1
                proxy.latency = dice.uniform(0.001, 0.02)
                await asyncio.sleep(0.1)
                proxy.latency = 0.0
            case "throttle":
                proxy.injected["throttled"] += 1
                proxy.rate = 200_000.0
                await asyncio.sleep(0.1)
                proxy.rate = None
            case fault:
                proxy.once(fault)
