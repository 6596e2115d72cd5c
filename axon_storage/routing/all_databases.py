"""Asks every database of a router, several at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.errors import StorageConnectionError, StorageError
from axon_storage.routing.storages import OpenStorages

T = TypeVar("T")

_AT_ONCE = 8
_SHOWN = 3


async def ask_all(
    storages: OpenStorages, names: Iterable[str], ask: Callable[[StorageBackend], Awaitable[T]]
) -> dict[str, T]:
    """Return the answer of each database. If some fail, the others are asked all the same, and an error names them."""
    turns, answers, errors = asyncio.Semaphore(_AT_ONCE), dict[str, T](), dict[str, StorageError]()

    async def one(name: str) -> None:
        try:
            async with turns, storages.use(name) as storage:
                answers[name] = await ask(storage)
        except StorageError as error:
            errors[name] = error

    names = sorted(set(names))
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
    if errors:
        raise _failed(errors, len(names))
    return {name: answers[name] for name in names}


def _failed(errors: dict[str, StorageError], count: int) -> StorageConnectionError:
    shown = "; ".join(f"{name!r}: {errors[name].message}" for name in sorted(errors)[:_SHOWN])
    more = "; …" if len(errors) > _SHOWN else ""
    message = f"{len(errors)} of {count} databases failed, and the others are not affected: {shown}{more}"
    return StorageConnectionError(message, transient=all(error.transient for error in errors.values()))
