"""Reader: reads the checkpoints of threads from a storage."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol

from axon_storage.backend import StorageBackend
from axon_storage.errors import StorageError
from axon_storage.integrations.keys import SEPARATOR, after, name_of, scope_of
from axon_storage.integrations.langgraph import records
from axon_storage.integrations.langgraph.records import THREADS, Stored, Typed
from axon_storage.model.rows import SessionRow

PAGE = 100
"""The number of entries that a scan reads at a time."""

_LATEST_PAGE = 5  # the newest checkpoint with a few writes
_PAUSES = (0.0, 0.01, 0.05, 0.25)  # in seconds, between attempts to read a checkpoint with its values


class IncompleteError(StorageError):
    """A checkpoint has no value of one of its channels. Callers know it as a :class:`StorageError`."""


class Found(NamedTuple):
    """A checkpoint of a thread."""

    thread_id: str
    stored: Stored


@dataclass(frozen=True)
class Selection:
    """Which checkpoints are listed: with this id, with smaller ids, with this metadata, at most ``limit``."""

    id: str | None = None
    before: str | None = None
    metadata: Mapping[str, Any] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Reader:
    """Reads checkpoints. ``serde``: the serializer of their values."""

    storage: StorageBackend
    serde: SerializerProtocol

    async def one(self, scope: str, key: str) -> Stored | None:
        """Return the checkpoint with a key, or None."""
        rows = await self.storage.load_sessions(scope, start=key, end=after(key))
        return records.stored_of(rows) if rows and records.is_checkpoint(rows[0].key) else None

    async def newest(
        self, scope: str, prefix: str, *, start: str | None = None, end: str | None = None, page: int = PAGE
    ) -> AsyncGenerator[Stored, None]:
        """Yield the checkpoints of a namespace whose keys begin with ``prefix``, newest first.

        ``start`` (included) and ``end`` (not included) limit the keys. ``page``: the number of entries to read first.
        """
        start, end = start or f"{prefix}{SEPARATOR}", end or after(prefix)
        rows = list[SessionRow]()  # since the last checkpoint, backwards
        while True:
            found = await self.storage.load_sessions(scope, start=start, end=end, limit=page, reverse=True)
            for row in found:
                rows.append(row)
                if records.is_checkpoint(row.key):
                    # the other entries are its own, or writes of a checkpoint that was not stored
                    own = [each for each in reversed(rows) if f"{each.key} ".startswith(f"{row.key} ")]
                    yield records.stored_of(own)
                    rows = []
            if len(found) < page:
                return
            end, page = found[-1].key, min(4 * page, PAGE)

    async def latest(self, scope: str, prefix: str) -> Stored | None:
        """Return the newest checkpoint of a namespace, or None."""
        async with aclosing(self.newest(scope, prefix, page=_LATEST_PAGE)) as found:
            return await anext(found, None)

    async def search(self, config: RunnableConfig | None, selection: Selection) -> AsyncIterator[Found]:
        """Yield checkpoints of a namespace, of a thread, or of all threads, newest first."""
        configurable = {} if config is None else config["configurable"]
        best = list[Found]()
        wanted, namespace = configurable.get("thread_id"), configurable.get("checkpoint_ns")
        if wanted is not None and namespace is not None:
            key = records.checkpoints_key(namespace)
            async for stored in self._selected(scope_of(THREADS, str(wanted)), key, selection):
                yield Found(str(wanted), stored)
            return
        async for thread_id, scope in self._threads(wanted):
            async for prefix in self._prefixes(scope, namespace):
                best += [Found(thread_id, stored) async for stored in self._selected(scope, prefix, selection)]
            best = sorted(best, key=lambda found: found.stored.id, reverse=True)[: selection.limit]
        for found in best:
            yield found

    async def _prefixes(self, scope: str, namespace: str | None) -> AsyncIterator[str]:
        if namespace is not None:
            yield records.checkpoints_key(namespace)
            return
        async for prefix in self.namespaces(scope):
            yield prefix

    async def _selected(self, scope: str, prefix: str, selection: Selection) -> AsyncIterator[Stored]:
        """Yield checkpoints of a namespace, newest first."""
        start, end = None, None
        if selection.before is not None:
            end = records.key_under(prefix, selection.before)
        if selection.id is not None:
            start = records.key_under(prefix, selection.id)
            end = min(end or after(start), after(start))
        left = selection.limit
        page = PAGE if left is None or selection.metadata else min(PAGE, 5 * left)
        async with aclosing(self.newest(scope, prefix, start=start, end=end, page=page)) as found:
            async for stored in found:
                if self._has_metadata(stored, selection.metadata):
                    yield stored
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    def _has_metadata(self, stored: Stored, wanted: Mapping[str, Any] | None) -> bool:
        metadata = self.metadata(stored) if wanted else {}
        return all(metadata.get(name) == value for name, value in (wanted or {}).items())

    async def _threads(self, thread_id: Any) -> AsyncIterator[tuple[str, str]]:
        """Yield the ids and scopes of one thread, or with None of all."""
        if thread_id is not None:
            yield str(thread_id), scope_of(THREADS, str(thread_id))
            return
        start, last = f"{THREADS}{SEPARATOR}", ""
        while True:
            scopes = await self.storage.session_scopes(start=start, end=after(THREADS), limit=PAGE)
            for scope in scopes:
                if scope != last and (name := await name_of(self.storage, scope)) is not None:
                    yield name, scope
            if len(scopes) < PAGE:
                return
            start = last = scopes[-1]

    async def namespaces(self, scope: str) -> AsyncIterator[str]:
        """Yield the beginnings of the keys of a thread's namespaces."""
        start = f"c{SEPARATOR}"
        while rows := await self.storage.load_sessions(scope, start=start, end=after("c"), limit=1):
            prefix = SEPARATOR.join(rows[0].key.split(SEPARATOR)[:2])
            yield prefix
            start = after(prefix)

    async def values(self, scope: str, keys: Iterable[str]) -> dict[str, Typed]:
        """Return the channel values that exist under the given keys."""
        rows = await self.storage.load_sessions(scope, keys)
        further = [key for row in rows for key in records.further_keys(row)]
        if further:
            rows = sorted(rows + await self.storage.load_sessions(scope, further), key=lambda row: row.key)
        return {key: records.value_of(record) for key, record in records.records_of(rows)}

    async def tuples(self, thread_id: str, found: list[Stored]) -> list[CheckpointTuple]:
        """Return checkpoints of a thread with their channel values."""
        channels = await self.channels(scope_of(THREADS, thread_id), found)
        for stored, values in zip(found, channels, strict=True):
            self._check(thread_id, stored, values.keys())
        return [self._tuple(thread_id, stored, values) for stored, values in zip(found, channels, strict=True)]

    async def complete(self, thread_id: str, find: Callable[[], Awaitable[Stored | None]]) -> CheckpointTuple | None:
        """Return the checkpoint that is found, with its values; None if there is none.

        If a value is missing, the checkpoint is searched again, because it may have been deleted meanwhile.
        """
        for pause in (*_PAUSES, None):
            found = await find()
            try:
                return None if found is None else (await self.tuples(thread_id, [found]))[0]
            except IncompleteError:
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        return None

    def _check(self, thread_id: str, stored: Stored, channels: Set[str]) -> None:
        """Raise an error if a checkpoint has no value of a channel that is not a delta channel."""
        missing = stored.versions.keys() - channels
        if missing and (missing := missing - delta_channels(self.metadata(stored))):
            names = ", ".join(map(repr, sorted(missing)))
            where = f"thread {thread_id!r}, namespace {stored.namespace!r}, checkpoint {stored.id!r}"
            raise IncompleteError(f"{where}: the values of these channels are missing: {names}", transient=True)

    async def channels(
        self, scope: str, found: Sequence[Stored], only: Set[str] | None = None
    ) -> list[dict[str, Typed]]:
        """Return the channel values of checkpoints of a thread; with ``only``, at least those of these channels."""
        keys = [each.value_keys(only) for each in found]
        copied = {
            key: each.values[channel]
            for each, of_one in zip(found, keys, strict=True)
            for channel, key in of_one.items()
            if channel in each.values
        }
        values = copied | await self.values(scope, {key for of_one in keys for key in of_one.values()} - copied.keys())
        return [
            each.values | {channel: values[key] for channel, key in of_one.items() if key in values}
            for each, of_one in zip(found, keys, strict=True)
        ]

    def _tuple(self, thread_id: str, stored: Stored, values: Mapping[str, Typed]) -> CheckpointTuple:
        loads, namespace = self.serde.loads_typed, stored.namespace
        checkpoint: Checkpoint = loads(stored.checkpoint)
        channel_values = {channel: loads(value) for channel, value in values.items()}
        return CheckpointTuple(
            config=config_of(thread_id, namespace, stored.id),
            checkpoint={**checkpoint, "channel_values": channel_values},
            metadata=self.metadata(stored),
            parent_config=config_of(thread_id, namespace, stored.parent) if stored.parent else None,
            pending_writes=[(write.task_id, write.channel, loads(write.value)) for write in stored.writes],
        )

    def metadata(self, stored: Stored) -> Any:
        """Return the metadata of a checkpoint."""
        return self.serde.loads_typed(stored.metadata)


def delta_channels(metadata: Mapping[str, Any]) -> set[str]:
    """Return the delta channels of a checkpoint: LangGraph counts the steps since the last value of each."""
    return set(metadata.get("counters_since_delta_snapshot") or ())


def config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """Return the config of a checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}
