"""LoopLocal: a storage for each event loop, opened when the loop first uses it, and closed with the loop."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar, Unpack

from axon_storage.backend import StorageBackend
from axon_storage.errors import StorageConnectionError, StorageError
from axon_storage.model.requests import Request
from axon_storage.model.stats import StorageStats
from axon_storage.opening import OpenOptions, check_option_names, open_backend

T = TypeVar("T")

_log = logging.getLogger(__name__)


class LoopLocal(StorageBackend):
    """A storage for code that runs in several event loops or threads, such as one ``asyncio.run`` for each call.

    It is made without an event loop. Each loop that uses it gets its own connections. They are opened at the first
    call, and closed when the loop ends, if the loop is run by ``asyncio.run`` or ``asyncio.Runner``, or by any code
    that calls ``loop.shutdown_asyncgens()``. In other loops, await :meth:`close` before the loop ends. ``url`` and the
    options are those of :func:`open_storage`::

        storage = LoopLocal("sqlite:///agents.db")
        asyncio.run(storage.load_traces(10))
        asyncio.run(storage.load_traces(10))

    :meth:`close` closes the storage of the running loop only. A later call opens it again.
    """

    def __init__(self, url: str | None = None, **options: Unpack[OpenOptions]) -> None:
        check_option_names("LoopLocal", options)
        super().__init__(require_tenant=options.get("require_tenant", False))
        self._open = partial(open_backend, url, **options)
        # A forked child may run the loop of its parent, but it must not use the parent's connections.
        self._loops: dict[tuple[int, asyncio.AbstractEventLoop], _OfLoop] = {}

    async def execute(self, request: Request[T]) -> T:
        return await (await self._of_running_loop().storage()).execute(request)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        storage = await self._of_running_loop().storage()
        if self.tenant_fallback.named:
            storage.tenant_fallback.named = True
        async with storage.transaction() as transaction:
            yield transaction if self._tenant is None else transaction.for_tenant(self._tenant)

    async def stats(self) -> StorageStats:
        return await (await self._of_running_loop().storage()).stats()

    async def is_healthy(self) -> bool:
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                return await (await self._of_running_loop().storage()).is_healthy()
        except (StorageError, TimeoutError):
            return False

    async def _close(self) -> None:
        await self._of_running_loop().close()

    def _describe(self) -> list[str]:
        return [f"open in {sum(each.is_open for each in list(self._loops.values()))} event loops"]

    def _of_running_loop(self) -> "_OfLoop":
        try:
            key = os.getpid(), asyncio.get_running_loop()
        except RuntimeError:
            message = "no event loop of asyncio is running here: a storage works with asyncio only"
            raise StorageConnectionError(message) from None
        found = self._loops.get(key)
        if found is None:
            self._forget_unused()
            found = self._loops.setdefault(key, _OfLoop(self._open))
        return found

    def _forget_unused(self) -> None:
        """Forget the loops that are closed, or whose storage is closed, so that their objects can be freed."""
        for (process, loop), each in list(self._loops.items()):
            if process != os.getpid() or (each.is_in_use and not loop.is_closed()):
                continue
            self._loops.pop((process, loop), None)  # another thread may have done it
            if each.is_open:
                _log.warning(
                    "an event loop was closed and its storage was not: run it with asyncio.run() or asyncio.Runner, or "
                    "await close() in it"
                )


_HEALTH_SECONDS = 5


class _OfLoop:
    """The storage of one event loop."""

    def __init__(self, open_: Callable[[], Awaitable[StorageBackend]]) -> None:
        self._open = open_
        self._opening: asyncio.Task[None] | None = None
        self._storage: StorageBackend | None = None
        self._closed = asyncio.Event()
        self._closer: AsyncGenerator[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the storage is open or being closed."""
        return self._storage is not None and not self._closed.is_set()

    @property
    def is_in_use(self) -> bool:
        """Whether the storage is not closed, or is being opened again. One that was not yet opened soon will be."""
        return not self._closed.is_set() or self._opening is not None

    async def storage(self) -> StorageBackend:
        """Return the storage. Open it first if it is not open; calls at the same time wait for one opening."""
        while self._storage is None or self._closed.is_set():
            if self._opening is None:
                self._opening = asyncio.create_task(self._open_storage())
                self._opening.add_done_callback(self._opened)
            await asyncio.shield(self._opening)
        return self._storage

    async def close(self) -> None:
        """Close the storage if it is open."""
        if self._opening is not None:
            await asyncio.wait({self._opening})
        if self._storage is not None and self._closer is not None:
            await self._storage.close()  # this may be refused, and then the storage stays open
            await self._closer.aclose()

    async def _open_storage(self) -> None:
        storage, self._closed = await self._open(), asyncio.Event()
        self._closer = _closed_with_loop(storage, self._closed)
        await anext(self._closer)
        self._storage = storage

    def _opened(self, opening: asyncio.Task[None]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # marks it as retrieved, because every caller may have been cancelled


async def _closed_with_loop(storage: StorageBackend, closed: asyncio.Event) -> AsyncGenerator[None]:
    """Close a storage when this generator is closed. asyncio closes the generators that a loop has begun, at its end.

    It also closes them when they are garbage-collected, as with a ``LoopLocal`` that is no longer used. So the
    generator must not refer to the object that holds it.
    """
    try:
        yield
    finally:
        await storage.close()
        closed.set()
