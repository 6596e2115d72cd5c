"""The deletion of threads, and of some of their checkpoints."""

from collections.abc import Iterable, Sequence, Set

from axon_storage.backend import StorageBackend
from axon_storage.integrations.keys import after, part, scope_of, unescape
from axon_storage.integrations.langgraph.delta import delta_channels
from axon_storage.integrations.langgraph.reader import Reader
from axon_storage.integrations.langgraph.records import RUNS, THREADS, Stored, large_key, part_keys


async def delete_thread(storage: StorageBackend, thread_id: str) -> None:
    """Delete a thread, and its connections with runs."""
    scope = scope_of(THREADS, thread_id)
    runs = await storage.load_sessions(scope, start="r ", end=after("r"))
    if not runs:
        await storage.delete_sessions(scope)
        return
    async with storage.transaction() as transaction:
        for run in runs:
            await transaction.delete_session(scope_of(RUNS, unescape(run.value)), part(thread_id, 255))
        await transaction.delete_sessions(scope)


async def delete_run(reader: Reader, run_id: str) -> None:
    """Delete the checkpoints of a run in all its threads."""
    runs = scope_of(RUNS, run_id)
    for row in await reader.storage.load_sessions(runs):
        scope = scope_of(THREADS, unescape(row.value))
        async for prefix in reader.namespaces(scope):
            found = [stored async for stored in reader.newest(scope, prefix)]
            await _delete(reader, scope, found, {each.id for each in found if _run_of(reader, each) == run_id})
        await reader.storage.delete_session(scope, f"r {part(run_id, 253)}")
    await reader.storage.delete_sessions(runs)


async def keep_latest(reader: Reader, thread_id: str) -> None:
    """Delete all checkpoints of a thread but the newest of each namespace, and those that its delta channels need."""
    scope = scope_of(THREADS, thread_id)
    async for prefix in reader.namespaces(scope):
        found = [stored async for stored in reader.newest(scope, prefix)]
        if found:
            kept = {each.id for each in await _with_ancestors(reader, scope, found)}
            await _delete(reader, scope, found, {each.id for each in found} - kept)


async def _with_ancestors(reader: Reader, scope: str, found: Sequence[Stored]) -> list[Stored]:
    """Return the first checkpoint, and its ancestors up to those with values of all its delta channels."""
    latest, by_id = found[0], {stored.id: stored for stored in found}
    kept = [latest]
    missing = delta_channels(reader.metadata(latest)) & latest.versions.keys()
    while missing:
        [values] = await reader.channels(scope, kept[-1:], missing)
        missing -= values.keys()
        parent = by_id.get(kept[-1].parent or "")
        if parent is None or not missing:
            break
        kept.append(parent)
    return kept


def _run_of(reader: Reader, stored: Stored) -> str | None:
    run_id = reader.metadata(stored).get("run_id")
    return None if run_id is None else str(run_id)


async def _delete(reader: Reader, scope: str, found: Iterable[Stored], ids: Set[str]) -> None:
    """Delete those of a namespace's checkpoints that have one of the ids, and the values that no other one has."""
    keys, values, used = list[str](), set[str](), set[str]()
    for stored in found:
        (values if stored.id in ids else used).update(stored.value_keys().values())
        keys += stored.keys if stored.id in ids else []
    if not keys:
        return
    parts = await reader.storage.load_sessions(scope, start="l ", end=after("l"))
    counts = {row.key: int(row.value) for row in parts}
    for key in values - used:
        keys.append(key)
        if large := counts.get(large_key(key)):
            keys += [large_key(key), *part_keys(key, large)]
    await reader.storage.delete_sessions(scope, keys)
