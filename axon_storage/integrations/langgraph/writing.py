"""The entries of a new checkpoint: what is copied into its record, and what has entries of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol

from axon_storage.integrations.langgraph import records
from axon_storage.integrations.langgraph.delta import delta_channels
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

    def _value_rows(self, scope: str, channel: str, value: Typed) -> list[SessionRow]:
        return records.value_rows(scope, records.value_key(self.namespace, channel, self.new[channel]), value)
