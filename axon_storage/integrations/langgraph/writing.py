"""The entries of a new checkpoint: what is copied into its record, and what has entries of its own."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol

from axon_storage.backend import StorageBackend
from axon_storage.integrations.langgraph import records
from axon_storage.integrations.langgraph.locking import locked
from axon_storage.integrations.langgraph.reader import Reader, delta_channels
from axon_storage.integrations.langgraph.records import Stored, Typed
from axon_storage.model.rows import SessionRow


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint that is put. ``new``: the versions of the channels whose values changed."""

    serde: SerializerProtocol
    namespace: str
    parent: str | None
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    new: ChannelVersions

    def rows(self, scope: str) -> list[SessionRow]:
        """Return its entries."""
        small, changed = self._small(), self._changed()
        copies = small | {channel: value for channel, value in changed.items() if len(value[1]) <= records.COPY_BYTES}
        rows = [row for channel, value in changed.items() for row in self._value_rows(scope, channel, value)]
        return rows + records.checkpoint_rows(scope, self._stored(copies, dict(self._versions(small))))

    def reused(self) -> dict[str, Any]:
        """Return the values that it refers to and does not store, by key."""
        versions = self.checkpoint["channel_versions"]
        return {
            records.value_key(self.namespace, channel, versions[channel]): value
            for channel, value in self._values()
            if channel not in self.new and not records.is_small(value)
        }

    def _stored(self, copies: dict[str, Typed], versions: dict[str, str]) -> Stored:
        without_values: dict[str, Any] = {k: v for k, v in self.checkpoint.items() if k != "channel_values"}
        dump, checkpoint_id = self.serde.dumps_typed, self.checkpoint["id"]
        return Stored(
            self.namespace, checkpoint_id, self.parent, dump(without_values), dump(self.metadata), copies, versions
        )

    def _small(self) -> dict[str, Typed]:
        return {channel: self.serde.dumps_typed(value) for channel, value in self._values() if records.is_small(value)}

    def _changed(self) -> dict[str, Typed]:
        """Return the other values that have a new version."""
        values = [(channel, value) for channel, value in self._values() if channel in self.new]
        return {channel: self.serde.dumps_typed(value) for channel, value in values if not records.is_small(value)}

    def _versions(self, small: dict[str, Typed]) -> Iterator[tuple[str, str]]:
        """Yield the versions of the channels that may have entries of their own: also of delta channels."""
        channels = {channel for channel, _ in self._values()} | delta_channels(self.metadata)
        for channel, version in self.checkpoint["channel_versions"].items():
            if channel in channels and channel not in small:
                yield channel, str(version)

    def _values(self) -> Iterator[tuple[str, Any]]:
        versions = self.checkpoint["channel_versions"]
        return ((channel, value) for channel, value in self.checkpoint["channel_values"].items() if channel in versions)

    async def restore(self, storage: StorageBackend, scope: str) -> None:
        """Store the values that it refers to again, if they were deleted: see :mod:`.locking`."""
        reused = self.reused()
        if not reused or await self._parent_has(storage, scope, reused.keys()):
            return
        async with locked(storage, scope) as transaction:
            own = records.checkpoint_key(self.namespace, self.checkpoint["id"])
            if await transaction.get_session(scope, own) is None:  # it was deleted too
                return
            there = await Reader(transaction, self.serde).values(scope, reused)
            missing = {key: self.serde.dumps_typed(value) for key, value in reused.items() if key not in there}
            rows = [row for key, value in missing.items() for row in records.value_rows(scope, key, value)]
            await transaction.save_many(rows)

    async def _parent_has(self, storage: StorageBackend, scope: str, keys: Set[str]) -> bool:
        """Return whether the parent refers to all these values, and no deletion is in progress."""
        if not self.parent:
            return False
        parent = records.checkpoint_key(self.namespace, self.parent)
        rows = await storage.load_sessions(scope, [records.LOCK, parent])
        return [row.key for row in rows] == [parent] and records.referenced_keys(rows[0]) >= keys

    def _value_rows(self, scope: str, channel: str, value: Typed) -> list[SessionRow]:
        return records.value_rows(scope, records.value_key(self.namespace, channel, self.new[channel]), value)
