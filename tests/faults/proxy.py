"""A TCP proxy on loopback that injects the faults of networks and servers."""

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.engine import make_url

from axon_storage import StorageDispatcher, open_storage

# the text that asyncpg and the MySQL drivers send, or Oracle's call number 14 at the start of a message
COMMIT = re.compile(rb"COMMIT(?!TED)|^.{8,10}\x03\x0e", re.DOTALL)  # asyncpg's BEGIN says READ COMMITTED
_RESET = struct.pack("ii", 1, 0)

Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]
"""The writers of one connection: to the client, and to the server."""


class Proxy:
    """Forwards bytes to a server's port, with faults.

    ``latency``: seconds before each piece is forwarded. ``flows``: while it is not set, nothing is forwarded.
    ``refusing``: new connections are reset. ``rate``: bytes per second, None for no limit. :meth:`once` sets a fault
    for the next COMMIT.
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
        self._silent: set[Pair] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Listen on a free port, and yield its number."""
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
        """The number of open connections."""
        return len(self._pairs)

    def cut(self) -> None:
        """Reset every connection at once."""
        for pair in list(self._pairs):
            self._reset(pair)

    def silence(self) -> None:
        """Forward nothing more of the connections that are open now, and keep them open."""
        self._silent |= self._pairs

    def once(self, fault: str) -> None:
        """Cut the connection of the next COMMIT: ``before`` it is forwarded, ``inside`` it, or ``after`` it.

        With ``after``, the server runs the COMMIT and its answer is lost.
        """
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
                if pair in self._silent:
                    continue
                if look(piece, pair):
                    await target.drain()
                    self._reset(pair)
                    return
                target.write(piece)
                await target.drain()
        except OSError:
            pass  # the other side has closed, and so does this one
        finally:
            target.close()
            self._pairs.discard(pair)

    async def _hold(self, piece: bytes) -> None:
        pause = self.latency + (len(piece) / self.rate if self.rate else 0)
        if pause:
            await asyncio.sleep(pause)
        await self.flows.wait()

    def _commit(self, piece: bytes, pair: Pair) -> bool:
        """If the piece has a COMMIT, inject the fault that is set; return whether that ends the connection."""
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
        """Return whether the piece is the answer that is lost."""
        return pair in self._unanswered

    def _reset(self, pair: Pair) -> None:
        self._pairs.discard(pair)
        self._unanswered.discard(pair)
        for writer in pair:
            _abort(writer)


@asynccontextmanager
async def storage_through_proxy(url: str, **options: Any) -> AsyncIterator[tuple[Proxy, StorageDispatcher]]:
    """Run a proxy to the server of a URL, and open a storage through it with these options."""
    proxy = Proxy(make_url(url).port or 0)
    async with proxy.running() as port:
        through = make_url(url).set(port=port).render_as_string(hide_password=False)
        async with open_storage(through, migrate=False, **options) as storage:
            yield proxy, storage


def _abort(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def storm(
    proxy: Proxy, dice: random.Random, done: asyncio.Event, successes: Callable[[], int], between: int = 4
) -> None:
    """Inject one random fault after another, until ``done``, with at least ``between`` successes from one to the next.

    On a slow machine, faults that came by the clock alone would leave no time for any call to succeed.
    """
    while not done.is_set():
        before = successes()
        await asyncio.sleep(dice.uniform(0.01, 0.08))
        while successes() < before + between and not done.is_set():  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0.005)
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
