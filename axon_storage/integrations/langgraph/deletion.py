"""The deletion of threads, and of some of their checkpoints."""

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass

from axon_storage.backend import StorageBackend
from axon_storage.integrations.keys import after, part, scope_of, unescape
from axon_storage.integrations.langgraph.locking import exclusive, locked
from axon_storage.integrations.langgraph.reader import Reader, delta_channels
from axon_storage.integrations.langgraph.records import RUNS, THREADS, Stored, large_key, part_keys, run_rows


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a deletion must know of a checkpoint. ``copied``: the channels with values in its record."""

    id: str
    parent: str | None
    run_id: str | None
    keys: Sequence[str]
    value_keys: dict[str, str]
    delta: Set[str]
    copied: Set[str]


async def delete_thread(storage: StorageBackend, thread_id: str) -> None:
    """Delete a thread, and its connections with runs, until it has no entries: also what is put meanwhile."""
    scope = scope_of(THREADS, thread_id)
    while True:
        async with exclusive(storage, scope) as transaction:
            # In the order in which puts write, so that there is no deadlock: LOCK, all entries before "x ", the others.
            # What a put has committed between these statements is deleted by the next pass.
            await transaction.delete_sessions(scope, end="x ")
            for row in await transaction.load_sessions(scope, start="x "):
                await transaction.delete_session(scope, row.key)
                await transaction.delete_session(scope_of(RUNS, unescape(row.value)), part(thread_id, 255))
        if not await storage.load_sessions(scope, limit=1):
            return


async def delete_run(reader: Reader, run_id: str) -> None:
    """Delete the checkpoints of a run in all its threads."""
    for row in await reader.storage.load_sessions(scope_of(RUNS, run_id)):
        thread_id = unescape(row.value)
        scope = scope_of(THREADS, thread_id)
        async with locked(reader.storage, scope) as transaction:
            # First, because a put of this run writes these entries too, and waits: its checkpoint is not read below.
            await transaction.delete_session(scope, f"x {part(run_id, 253)}")
            await transaction.delete_session(row.scope, row.key)
            if await _delete_of_run(Reader(transaction, reader.serde), scope, run_id):
                await transaction.save_many(run_rows(scope, thread_id, run_id))


async def keep_latest(reader: Reader, thread_id: str) -> None:
    """Delete all checkpoints of a thread but the newest of each namespace, and those that its delta channels need."""
    scope = scope_of(THREADS, thread_id)
    async with locked(reader.storage, scope) as transaction:
        inside = Reader(transaction, reader.serde)
        async for prefix in inside.namespaces(scope):
            found = await _read(inside, scope, prefix)
            await _delete(inside, scope, found, await _needed(inside, scope, found, {each.id for each in found[:1]}))


async def _delete_of_run(reader: Reader, scope: str, run_id: str) -> bool:
    """Delete the checkpoints of a run in a thread; return whether some are kept, because delta channels need them."""
    kept = False
    async for prefix in reader.namespaces(scope):
        found = await _read(reader, scope, prefix)
        of_run = {each.id for each in found if each.run_id == run_id}
        needed = await _needed(reader, scope, found, {each.id for each in found} - of_run)
        await _delete(reader, scope, found, needed)
        kept = kept or bool(of_run & needed)
    return kept


async def _read(reader: Reader, scope: str, prefix: str) -> list[_Kept]:
    return [_kept(reader, stored) async for stored in reader.newest(scope, prefix)]


def _kept(reader: Reader, stored: Stored) -> _Kept:
    metadata = reader.metadata(stored)
    run_id, delta = metadata.get("run_id"), delta_channels(metadata) & stored.versions.keys()
    run = None if run_id is None else str(run_id)
    return _Kept(stored.id, stored.parent, run, stored.keys, stored.value_keys(), delta, frozenset(stored.values))


async def _needed(reader: Reader, scope: str, found: Sequence[_Kept], ids: Set[str]) -> set[str]:
    """Return these ids, and those of the ancestors from which the delta channels of these checkpoints are rebuilt."""
    needed, wanted = set(ids), defaultdict[str, set[str]](set)
    for each in found:  # newest first: children before their parents
        missing = wanted[each.id] | (each.delta if each.id in ids else set())
        if not missing:
            continue
        needed.add(each.id)
        keys = {channel: each.value_keys[channel] for channel in missing & each.value_keys.keys() - each.copied}
        values = await reader.values(scope, keys.values()) if keys else {}
        missing -= each.copied | {channel for channel, key in keys.items() if key in values}
        if missing and each.parent:
            wanted[each.parent] |= missing
    return needed


async def _delete(reader: Reader, scope: str, found: Sequence[_Kept], ids: Set[str]) -> None:
    """Delete those of a namespace's checkpoints that have none of the ids, and the values that no other one has."""
    keys, values, used = list[str](), set[str](), set[str]()
    for each in found:
        (used if each.id in ids else values).update(each.value_keys.values())
        keys += [] if each.id in ids else each.keys
    if not keys:
        return
    parts = await reader.storage.load_sessions(scope, start="l ", end=after("l"))
    counts = {row.key: int(row.value) for row in parts}
    for key in values - used:
        keys.append(key)
        if large := counts.get(large_key(key)):
            keys += [large_key(key), *part_keys(key, large)]
    await reader.storage.delete_sessions(scope, keys)
