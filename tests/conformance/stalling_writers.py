"""A writer whose events are committed in another order than that of their ids; also a program for a second process."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable

from axon_storage import EventRow, SessionRow, SqlRepository, StorageError, create_engine
from axon_storage.engine.executor import Executor
from axon_storage.testing.samples import sample


async def write(storage: SqlRepository, prefix: str, rounds: int, seed: int, longest: float) -> set[str]:
    """Append events in transactions that stay open for up to ``longest`` seconds, beside shorter calls.

    Each round locks a row that all writers save. Return the sources of the events whose calls succeeded.
    """
    dice, stored = random.Random(seed), set[str]()  # noqa: S311  # repeatable

    def row(name: str) -> EventRow:
        return sample(EventRow, source=f"{prefix} {name}", payload=None)

    shared = sample(SessionRow, scope="s", key="shared")

    async def in_transaction(name: str) -> None:
        async with storage.transaction() as transaction:
            await transaction.append_event(row(f"{name} held"))
            await transaction.save_session(shared)
            await asyncio.sleep(dice.uniform(0, longest))
            await transaction.append_event(row(f"{name} last"))
        stored.update({f"{prefix} {name} held", f"{prefix} {name} last"})

    async def in_a_batch(name: str) -> None:
        await storage.save_many([row(f"{name} saved"), shared])  # may wait for the lock of a transaction
        stored.add(f"{prefix} {name} saved")

    async def alone(name: str) -> None:
        await asyncio.sleep(dice.uniform(0, longest))
        await storage.append_event(row(f"{name} alone"))
        stored.add(f"{prefix} {name} alone")

    async def attempt(work: Callable[[str], Awaitable[None]], name: str) -> None:
        try:
            await work(name)
        except StorageError as error:  # it took longer than the horizon
            if not error.transient:
                raise

    for number in range(rounds):
        async with asyncio.TaskGroup() as group:
            for work in (in_transaction, in_a_batch, alone):
                group.create_task(attempt(work, str(number)))
    return stored


async def main(url: str, prefix: str, rounds: str, seed: str, longest: str, horizon: str) -> None:
    """Write, and print the sources of the events whose calls succeeded, one per line."""
    Executor.append_horizon = float(horizon)
    async with SqlRepository(create_engine(url)) as storage:
        stored = await write(storage, prefix, int(rounds), int(seed), float(longest))
    print("\n".join(sorted(stored)))  # noqa: T201  # the program's output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
