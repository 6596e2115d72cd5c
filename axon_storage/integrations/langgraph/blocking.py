"""BlockingMethods: the synchronous methods of a saver, for threads other than that of its event loop."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

T = TypeVar("T")


_WOULD_BLOCK = "a synchronous method would block its event loop: use the asynchronous one, or call it in a thread"
_NO_LOOP = "made outside an event loop: use the asynchronous methods"
_NOT_RUNNING = "the event loop in which it was made is not running: use the asynchronous methods"


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of this thread that is running, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def wait_for(loop: asyncio.AbstractEventLoop | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop that runs in another thread; raise an InvalidStateError if it does not."""
    if loop is None or not loop.is_running() or running_loop() is loop:
        coroutine.close()
        raise asyncio.InvalidStateError(_reason(loop))
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def _reason(loop: asyncio.AbstractEventLoop | None) -> str:
    if loop is None:
        return _NO_LOOP
    return _WOULD_BLOCK if running_loop() is loop else _NOT_RUNNING


class BlockingMethods(BaseCheckpointSaver[str]):
    """Each method runs the asynchronous method of its name in the event loop in which the saver was made."""

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self.loop = running_loop()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, or None."""
        return wait_for(self.loop, self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # the name in the base class
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield checkpoints, newest first."""
        found = self.alist(config, filter=filter, before=before, limit=limit)
        while (next_one := wait_for(self.loop, _next(found))) is not None:
            yield next_one

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint."""
        return wait_for(self.loop, self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store pending writes."""
        wait_for(self.loop, self.aput_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread."""
        wait_for(self.loop, self.adelete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of runs."""
        wait_for(self.loop, self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread."""
        wait_for(self.loop, self.acopy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete the older checkpoints of threads."""
        wait_for(self.loop, self.aprune(thread_ids, strategy=strategy))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> dict[str, DeltaChannelHistory]:
        """Return what delta channels are rebuilt from."""
        return dict(wait_for(self.loop, self.aget_delta_channel_history(config=config, channels=channels)))


async def _next(found: AsyncIterator[CheckpointTuple]) -> CheckpointTuple | None:
    return await anext(found, None)
