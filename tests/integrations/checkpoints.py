"""Checkpoints for the tests of AxonSaver."""

from typing import Any

from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint

from axon_storage import SessionRow, StorageBackend
from axon_storage.integrations.langgraph import AxonSaver

BIG = b"\0\xff" * 2**19
"""A value that has several entries."""


def config(thread_id: str = "thread", namespace: str = "", checkpoint_id: str | None = None) -> Any:
    found = {"thread_id": thread_id, "checkpoint_ns": namespace}
    return {"configurable": found | ({} if checkpoint_id is None else {"checkpoint_id": checkpoint_id})}


async def put(
    saver: AxonSaver,
    where: Any,
    values: dict[str, Any] | None = None,
    *,
    new: dict[str, Any] | None = None,
    versions: dict[str, Any] | None = None,
    id: str | None = None,  # noqa: A002  # the name in a checkpoint
    **metadata: Any,
) -> Any:
    """Store a checkpoint. Without ``new`` and ``versions``, all values have version 1 and are new."""
    checkpoint = empty_checkpoint()
    checkpoint["id"] = id or checkpoint["id"]
    checkpoint["channel_values"] = values or {}
    checkpoint["channel_versions"] = versions or dict.fromkeys(values or {}, 1)
    return await saver.aput(where, checkpoint, metadata, checkpoint["channel_versions"] if new is None else new)  # type: ignore[arg-type]


async def get(saver: AxonSaver, where: Any) -> CheckpointTuple:
    """Return a checkpoint that exists."""
    found = await saver.aget_tuple(where)
    assert found is not None
    return found


async def ids(saver: AxonSaver, where: Any, **options: Any) -> list[str]:
    """Return the ids of the listed checkpoints."""
    return [found.checkpoint["id"] async for found in saver.alist(where, **options)]


async def entries(storage: StorageBackend) -> list[SessionRow]:
    """Return all session entries of the tenant."""
    return [row async for row in storage.scan(SessionRow)]
