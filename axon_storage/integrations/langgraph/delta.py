"""Delta channels: the writes and the values from which LangGraph rebuilds them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from langgraph.checkpoint.base import DeltaChannelHistory

from axon_storage.integrations.keys import after
from axon_storage.integrations.langgraph import records
from axon_storage.integrations.langgraph.reader import Reader
from axon_storage.integrations.langgraph.records import Stored

_ANCESTORS = 50  # whose values are read at a time


async def history(
    reader: Reader, scope: str, prefix: str, checkpoint: Stored | None, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """Return the writes of each channel to the ancestors of a checkpoint, up to one that has a value of the channel.

    ``prefix``: the beginning of the keys of the namespace.
    """
    collector = _Collector(reader, scope, channels)
    if channels and checkpoint is not None and checkpoint.parent:
        end = after(records.key_under(prefix, checkpoint.parent))
        async with aclosing(reader.newest(scope, prefix, end=end)) as older:
            async for batch in _batches(older, checkpoint.parent):
                await collector.add(batch)
                if not collector.remaining:
                    break
    return collector.result()


async def _batches(older: AsyncIterator[Stored], parent: str) -> AsyncIterator[list[Stored]]:
    """Yield a parent, its parent and so on, several at a time."""
    batch, wanted = list[Stored](), parent or None
    async for stored in older:
        if wanted is None or stored.id < wanted:
            break
        if stored.id == wanted:
            batch.append(stored)
            wanted = stored.parent
        if len(batch) == _ANCESTORS:
            yield batch
            batch = []
    if batch:
        yield batch


class _Collector:
    """Collects writes and values from ancestors, newest first. ``remaining``: the channels without a value so far."""

    def __init__(self, reader: Reader, scope: str, channels: Sequence[str]) -> None:
        self._reader, self._scope, self._channels = reader, scope, channels
        self._found: dict[str, DeltaChannelHistory] = {channel: {"writes": []} for channel in channels}
        self.remaining = set(channels)

    async def add(self, ancestors: Sequence[Stored]) -> None:
        """Add further ancestors."""
        loads = self._reader.serde.loads_typed
        channels = await self._reader.channels(self._scope, ancestors, self.remaining)
        for ancestor, values in zip(ancestors, channels, strict=True):
            for write in reversed(ancestor.writes):
                if write.channel in self.remaining:
                    self._found[write.channel]["writes"].append((write.task_id, write.channel, loads(write.value)))
            for channel in self.remaining & values.keys():
                self._found[channel]["seed"] = loads(values[channel])
                self.remaining.discard(channel)

    def result(self) -> dict[str, DeltaChannelHistory]:
        """Return what was collected, the oldest write first."""
        for found in self._found.values():
            found["writes"].reverse()
        return self._found
