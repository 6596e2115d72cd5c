"""AxonSaver: LangGraph's checkpoints on a storage."""

import random
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from axon_storage.backend import StorageBackend
from axon_storage.errors import InvalidArgumentError
from axon_storage.integrations.keys import name_rows, scope_of
from axon_storage.integrations.langgraph import deletion, records
from axon_storage.integrations.langgraph.blocking import BlockingMethods
from axon_storage.integrations.langgraph.copying import copy_thread
from axon_storage.integrations.langgraph.delta import history
from axon_storage.integrations.langgraph.reader import Found, IncompleteError, Reader, Selection, config_of
from axon_storage.integrations.langgraph.records import THREADS, Stored, Write
from axon_storage.integrations.langgraph.writing import NewCheckpoint
from axon_storage.model.rows import SessionRow

_TUPLES = 10  # that are read at a time


class AxonSaver(BlockingMethods):
    """A LangGraph checkpointer on any storage of this package.

    The tenant is that of the storage: pass a view, as ``AxonSaver(storage.for_tenant("acme"))``, or use
    :func:`axon_storage.tenant_scope`. The synchronous methods can be called in threads other than that of the event
    loop in which the saver was made. ``serde``: LangGraph's serializer, for example an encrypted one.
    """

    def __init__(self, storage: StorageBackend, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self.storage = storage

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint with the id in ``config``, or without an id the newest one; None if there is none."""
        thread_id, namespace = _place(config)
        scope = scope_of(THREADS, thread_id)
        if checkpoint_id := get_checkpoint_id(config):
            find = partial(self._reader.one, scope, records.checkpoint_key(namespace, checkpoint_id))
        else:
            find = partial(self._reader.latest, scope, records.checkpoints_key(namespace))
        return await self._reader.complete(thread_id, find)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the name in the base class
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield the checkpoints of a namespace, of a thread, or with None of all threads, newest first.

        ``filter``: values that the metadata must have. ``before``: only checkpoints with a smaller id than this one.
        """
        if limit is not None and limit <= 0:
            return
        checkpoint_id, end = (None if each is None else get_checkpoint_id(each) for each in (config, before))
        selection = Selection(checkpoint_id or None, end or None, filter, limit)
        batch = list[Found]()
        async for found in self._reader.search(config, selection):
            if len(batch) == _TUPLES or (batch and batch[0].thread_id != found.thread_id):
                for one in await self._tuples(batch):
                    yield one
                batch = []
            batch.append(found)
        for one in await self._tuples(batch):
            yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, and the values of the channels that have a new version."""
        thread_id, namespace = _place(config)
        scope, described = scope_of(THREADS, thread_id), get_serializable_checkpoint_metadata(config, metadata)
        parent = get_checkpoint_id(config)
        new = NewCheckpoint(self.serde, namespace, parent, checkpoint, described, new_versions)
        rows = name_rows(scope, thread_id) + new.rows(scope)
        if "run_id" in described:
            rows += records.run_rows(scope, thread_id, str(described["run_id"]))
        await self.storage.save_many(rows)
        await new.restore(self.storage, scope)
        return config_of(thread_id, namespace, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store the writes of a task. Those of special channels replace earlier ones; of the others the first stays."""
        thread_id, namespace = _place(config)
        scope = scope_of(THREADS, thread_id)
        key = records.checkpoint_key(namespace, config["configurable"]["checkpoint_id"])
        kept, replaced = list[SessionRow](), list[SessionRow]()
        for number, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, number)
            write = Write(task_id, task_path, index, channel, self.serde.dumps_typed(value))
            (kept if index >= 0 else replaced).extend(records.write_rows(scope, key, write))
        if kept and replaced:
            async with self.storage.transaction() as transaction:
                await transaction.save_many(kept, keep_existing=True)
                await transaction.save_many(replaced)
        else:
            await self.storage.save_many(kept or replaced, keep_existing=bool(kept))

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints and writes of a thread, also those that are put before this returns."""
        await deletion.delete_thread(self.storage, str(thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that runs have put, in all threads, with their writes.

        Those from which delta channels of other checkpoints are rebuilt are kept. Runs can continue the threads as in
        :meth:`aprune`.
        """
        for run_id in _several(run_ids, "run_ids"):
            await deletion.delete_run(self._reader, run_id)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another, in one transaction."""
        await copy_thread(self.storage, str(source_thread_id), str(target_thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete checkpoints of threads with their writes, and the channel values that no other checkpoint has.

        ``"keep_latest"`` keeps the newest checkpoint of each namespace, and the ancestors from which its delta channels
        are rebuilt. ``"delete"`` deletes all. Runs can continue the threads meanwhile. With delta channels they
        must not continue from a checkpoint that is deleted.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise InvalidArgumentError(f"strategy {strategy!r}: use 'keep_latest' or 'delete'", operation="prune")
        for thread_id in _several(thread_ids, "thread_ids"):
            if strategy == "delete":
                await self.adelete_thread(thread_id)
            else:
                await deletion.keep_latest(self._reader, thread_id)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> dict[str, DeltaChannelHistory]:
        """Return the writes from which delta channels are rebuilt, and the values before them."""
        thread_id, namespace = _place(config)
        scope, prefix = scope_of(THREADS, thread_id), records.checkpoints_key(namespace)
        if checkpoint_id := get_checkpoint_id(config):
            target = await self._reader.one(scope, records.key_under(prefix, checkpoint_id))
        else:
            target = await self._reader.latest(scope, prefix)
        return await history(self._reader, scope, prefix, target, channels)

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Return a larger version, which differs from those that other branches of the thread make."""
        del channel
        number = 0 if current is None else int(str(current).partition(".")[0])
        return f"{number + 1:032}.{random.random():016}"  # noqa: S311  # the format of LangGraph's own savers

    @property
    def _reader(self) -> Reader:
        return Reader(self.storage, self.serde)

    async def _tuples(self, found: list[Found]) -> list[CheckpointTuple]:
        if not found:
            return []
        thread_id = found[0].thread_id
        try:
            return await self._reader.tuples(thread_id, [each.stored for each in found])
        except IncompleteError:
            return [one for one in [await self._again(thread_id, each.stored) for each in found] if one is not None]

    async def _again(self, thread_id: str, stored: Stored) -> CheckpointTuple | None:
        key = records.checkpoint_key(stored.namespace, stored.id)
        return await self._reader.complete(thread_id, partial(self._reader.one, scope_of(THREADS, thread_id), key))


def _place(config: RunnableConfig) -> tuple[str, str]:
    """Return the thread id and the namespace in a config."""
    configurable = config["configurable"]
    return str(configurable["thread_id"]), configurable.get("checkpoint_ns", "")


def _several(ids: Sequence[str], name: str) -> list[str]:
    if isinstance(ids, str):
        raise InvalidArgumentError(f"{name} must be a sequence of ids, not a str: use [id]")
    return [str(each) for each in ids]
