"""LoopLocal: a storage for each event loop, opened when the loop first uses it, and closed with the loop."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar, Unpack

from axon_storage.backend import StorageBackend
from axon_storage.backend.health import health_from
from axon_storage.engine.deadline import Deadline
from axon_storage.engine.timeouts import DEFAULT_TIMEOUT, check_timeout, current_timeout, rest_of_timeout
from axon_storage.engine.url import hidden
from axon_storage.errors import QueryError, StorageConnectionError, StorageError
from axon_storage.model.health import Health, HealthReasonName
from axon_storage.model.requests import Request
from axon_storage.model.stats import StorageStats
from axon_storage.model.validation import operation_context
from axon_storage.opening import OpenOptions, check_option_names, hide_password, open_backend

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

    :meth:`close` closes the storage of the running loop only. A later call, even one that begins before the storage is
    closed, opens another one.
    """

    def __init__(self, url: str | None = None, **options: Unpack[OpenOptions]) -> None:
        url = hidden(url)
        hide_password(options)
        check_option_names("LoopLocal", options)
        super().__init__(require_tenant=options.get("require_tenant", False))
        self._open = partial(open_backend, url, **options)
        self._timeout = check_timeout(options.get("operation_timeout", DEFAULT_TIMEOUT))
        # A forked child may run the loop of its parent, but it must not use the parent's connections.
        self._loops: dict[tuple[int, asyncio.AbstractEventLoop], _OfLoop] = {}

    async def execute(self, request: Request[T]) -> T:
        if (storage := self._of_running_loop().open_storage) is not None:
            return await storage.execute(request)
        async with self._opened(request.operation) as storage:
            return await storage.execute(request)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        async with self._opened("transaction") as storage:
            pass
        if self.tenant_fallback.named:
            storage.tenant_fallback.named = True
        async with storage.transaction() as transaction:
            yield transaction if self._tenant is None else transaction.for_tenant(self._tenant)

    async def stats(self) -> StorageStats:
        async with self._opened("stats") as storage:
            return await storage.stats()

    async def is_healthy(self) -> bool:
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                return await (await self._of_running_loop().storage()).is_healthy()
        except (StorageError, TimeoutError):
            return False

    async def health(self) -> Health:
        return await health_from(self._health_of_running_loop, failed=HealthReasonName.CANNOT_OPEN)

    @asynccontextmanager
    async def _opened(self, operation: str) -> AsyncIterator[StorageBackend]:
        """Return the storage of the running loop. The time until it is open counts towards the timeout of the call."""
        begin, seconds = time.monotonic(), current_timeout(self._timeout)
        with operation_context(operation), Deadline(seconds, waiting_for=_OPENING):
            storage = await self._of_running_loop().storage()
        with rest_of_timeout(seconds, begin):
            yield storage

    async def _health_of_running_loop(self) -> Health:
        return await (await self._of_running_loop().storage()).health()

    async def _close(self) -> None:
        here = _here()
        if (closing := self._loops.pop(here, None)) is None:  # from now on a call opens another storage
            return
        try:
            await closing.close()
        except QueryError:  # it was refused, and the storage is still open
            self._loops[here] = closing
            raise

    def _describe(self) -> list[str]:
        return [f"open in {sum(each.is_open for each in list(self._loops.values()))} event loops"]

    def _of_running_loop(self) -> "_OfLoop":
        found = self._loops.get(here := _here())
        if found is None or found.is_closed:
            self._forget_closed_loops()
            found = self._loops[here] = _OfLoop(self._open)
        return found

    def _forget_closed_loops(self) -> None:
        """Forget the loops that are closed, or that run in the parent process, so that their objects can be freed.

        The entry of a loop that can still run is changed by this loop only.
        """
        for (process, loop), each in list(self._loops.items()):
            if process == os.getpid() and not loop.is_closed():
                continue
            self._loops.pop((process, loop), None)  # another thread may have done it
            if each.is_open:
                _log.warning(
                    "an event loop was closed and its storage was not: run it with asyncio.run() or asyncio.Runner, or "
                    "await close() in it"
                )


def _here() -> tuple[int, asyncio.AbstractEventLoop]:
    """Return the id of this process and the running loop."""
    try:
        return os.getpid(), asyncio.get_running_loop()
    except RuntimeError:
        message = "no event loop of asyncio is running here: a storage works with asyncio only"
        raise StorageConnectionError(message) from None


_HEALTH_SECONDS = 5
_OPENING = "the database to be opened"


class _OfLoop:
    """The storage of one event loop. It is opened once and closed once."""

    def __init__(self, open_: Callable[[], Awaitable[StorageBackend]]) -> None:
        self._open = open_
        self._opening: asyncio.Task[None] | None = None
        self._waiting, self._is_closing = 0, False
        self._storage: StorageBackend | None = None
        self._closed = asyncio.Event()
        self._closer: AsyncGenerator[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the storage is open or being closed."""
        return self._storage is not None and not self.is_closed

    @property
    def open_storage(self) -> StorageBackend | None:
        """The storage, if it has been opened."""
        return self._storage

    @property
    def is_closed(self) -> bool:
        """Whether the storage was closed, by :meth:`close` or by the end of the loop."""
        return self._closed.is_set()

    async def storage(self) -> StorageBackend:
        """Return the storage. Open it first if it is not open; calls at the same time wait for one opening."""
        self._waiting += 1
        try:
            while self._storage is None:
                if self._opening is None:
                    self._opening = asyncio.create_task(self._open_storage())
                    self._opening.add_done_callback(self._opened)
                await asyncio.shield(self._opening)
        finally:
            self._waiting -= 1
            self._end_opening()
        return self._storage

    async def close(self) -> None:
        """Close the storage if it is open. Calls that wait for its opening come first; without any it is cancelled."""
        self._is_closing = True
        if (opening := self._opening) is not None:
            self._end_opening()
            await asyncio.wait({opening})  # the calls raise its error
        if self._storage is not None and self._closer is not None:
            await self._storage.close()
            await self._closer.aclose()

    def _end_opening(self) -> None:
        """Cancel the opening if no call waits for it any more: they have timed out, as the database does not answer."""
        if self._is_closing and not self._waiting and self._opening is not None:
            self._opening.cancel()

    async def _open_storage(self) -> None:
        storage = await self._open()
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
