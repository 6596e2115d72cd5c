"""AxonSaver: copies and deletes threads, prunes their checkpoints, and deletes those of runs."""

from axon_storage.integrations.langgraph import AxonSaver
from tests.integrations.checkpoints import BIG, config, entries, get, ids, put


async def _thread(saver: AxonSaver, thread_id: str, count: int = 3, namespace: str = "", **metadata: object) -> None:
    """Store checkpoints 0, 1, … with a value that stays, one that changes, and writes."""
    where = config(thread_id, namespace)
    for number in range(count):
        values = {"stays": BIG, "changes": f"{number}" * 5000}
        versions = {"stays": 0, "changes": number}
        new = {name: version for name, version in versions.items() if version == number}
        where = await put(saver, where, values, versions=versions, new=new, id=f"{number}", **metadata)
        await saver.aput_writes(where, [("a", number), ("b", BIG)], "task")


async def test_a_deleted_thread_leaves_nothing(saver: AxonSaver) -> None:
    await _thread(saver, "thread", run_id="run")
    await _thread(saver, "thread", namespace="child")
    await _thread(saver, "thread 2", run_id="run")
    await saver.adelete_thread("thread")
    assert await ids(saver, None) == ["2", "1", "0"]
    await saver.adelete_thread("thread 2")
    assert await entries(saver.storage) == []
    await saver.adelete_thread("unknown")


async def test_a_copy_is_complete_and_independent(saver: AxonSaver) -> None:
    long = "\0 copy" * 200
    await _thread(saver, "thread", run_id="run")
    await _thread(saver, "thread", namespace="child")
    await saver.acopy_thread("thread", long)
    await saver.acopy_thread(long, "again")
    await saver.acopy_thread("again", "again")
    before = [found._replace(config={}, parent_config=None) async for found in saver.alist(config("thread"))]
    await saver.adelete_thread("thread")
    await saver.adelete_thread(long)
    copies = [found async for found in saver.alist(config("again"))]
    assert [found._replace(config={}, parent_config=None) for found in copies] == before
    assert copies[0].parent_config == config("again", "", "1")
    assert await ids(saver, config("again", "child")) == ["2", "1", "0"]
    await saver.adelete_for_runs(["run"])
    assert await ids(saver, config("again")) == []


async def test_of_each_namespace_the_newest_checkpoint_is_kept(saver: AxonSaver) -> None:
    await _thread(saver, "thread", 5)
    await _thread(saver, "thread", 2, "child")
    await _thread(saver, "other")
    latest = [await get(saver, config("thread", namespace)) for namespace in ("", "child")]
    await saver.aprune(["thread", "unknown"])
    assert [await get(saver, config("thread", namespace)) for namespace in ("", "child")] == latest
    assert await ids(saver, {"configurable": {"thread_id": "thread"}}) == ["4", "1"]
    assert await ids(saver, config("other")) == ["2", "1", "0"]


async def test_pruning_deletes_all_that_no_checkpoint_needs(saver: AxonSaver) -> None:
    await _thread(saver, "thread", 5)
    await _thread(saver, "pruned", 5)
    await saver.aprune(["pruned"])
    await saver.adelete_thread("thread")
    left = {row.key.split(" ")[0]: 0 for row in await entries(saver.storage)}
    assert left.keys() == {"c", "v", "l"}
    keys = [row.key for row in await entries(saver.storage)]
    assert [key for key in keys if key.startswith("v") and key.count(" ") == 3] == ["v  changes 4", "v  stays 0"]
    await saver.aprune(["pruned"], strategy="delete")
    assert await entries(saver.storage) == []


async def test_large_values_of_pruned_checkpoints_are_deleted(saver: AxonSaver) -> None:
    for number in range(3):
        await put(saver, config(), {"large": BIG}, versions={"large": number}, id=f"{number}")
    await saver.aprune(["thread"])
    large = [row.key for row in await entries(saver.storage) if row.key.startswith(("v", "l"))]
    assert {key.split(" ")[3] for key in large} == {"2"}
    assert (await get(saver, config())).checkpoint["channel_values"] == {"large": BIG}


async def test_the_checkpoints_of_runs_are_deleted_in_all_threads(saver: AxonSaver) -> None:
    for thread_id in ("thread", "x" * 300):
        await put(saver, config(thread_id), {"a": "x" * 5000}, id="0", run_id="run 0")
        await put(saver, config(thread_id, checkpoint_id="0"), {"a": "x" * 5000}, new={}, id="1", run_id="run 1")
        await put(
            saver, config(thread_id, checkpoint_id="1"), {"a": "y" * 5000}, versions={"a": 2}, id="2", run_id="run 2"
        )
    await saver.adelete_for_runs(["run 0", "run 2", "unknown"])
    for thread_id in ("thread", "x" * 300):
        assert await ids(saver, config(thread_id)) == ["1"]
        assert (await get(saver, config(thread_id))).checkpoint["channel_values"] == {"a": "x" * 5000}
    assert {row.key for row in await entries(saver.storage) if row.scope == "langgraph thread"} == {
        "c  1",
        "x run!B1",
        "v  a 1",
    }
    await saver.adelete_for_runs(["run 1"])
    assert await ids(saver, None) == []
    assert {row.key for row in await entries(saver.storage)} == {"!name"}
