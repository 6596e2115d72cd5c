"""AxonSaver: names, values, writes, and lists of checkpoints."""

import asyncio
from typing import Any

import pytest
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import InvalidArgumentError, SqlRepository, StorageBackend, tenant_scope
from axon_storage.integrations.langgraph import AxonSaver
from tests.integrations.checkpoints import BIG, config, entries, get, ids, put

NAMES = ["", "a b", "a!B", "\0\x01\ud800\udfff", "☕" * 300, "x" * 10_000, "x" * 10_001, "a|b:1"]


async def test_threads_and_namespaces_with_any_name_are_different_and_listed(saver: AxonSaver) -> None:
    places = [config(name) for name in NAMES] + [config("thread", name) for name in NAMES]
    for number, place in enumerate(places):
        await put(saver, place, {"number": number}, id="1")
    for number, place in enumerate(places):
        found = await get(saver, place)
        assert found.checkpoint["channel_values"] == {"number": number}
        assert found.config == {"configurable": place["configurable"] | {"checkpoint_id": "1"}}
    listed = [found.config["configurable"] async for found in saver.alist(None)]
    assert sorted((each["thread_id"], each["checkpoint_ns"]) for each in listed) == sorted(
        (each["configurable"]["thread_id"], each["configurable"]["checkpoint_ns"]) for each in places
    )
    for name in {*NAMES, "thread"}:
        await saver.adelete_thread(name)
    assert await entries(saver.storage) == []


VALUES = [None, "", "☕\0\ud7ff", b"", bytes(range(256)), BIG * 8, list(range(5000)), {"a": [1, 2.5]}, 2**60, True]


async def test_values_of_any_kind_and_size_are_read_as_they_were_put(saver: AxonSaver) -> None:
    values = {f"channel {number}": value for number, value in enumerate(VALUES)}
    where = await put(saver, config(), values, note=BIG.hex())
    await saver.aput_writes(where, [*values.items()], "task \0" * 50, "path \ud800" * 50)
    found = await get(saver, config())
    assert found.checkpoint["channel_values"] == values
    assert found.metadata.get("note") == BIG.hex()
    assert found.pending_writes == [("task \0" * 50, channel, value) for channel, value in values.items()]
    assert await ids(saver, config(), limit=1) == [found.checkpoint["id"]]


async def test_a_large_value_is_stored_once_for_each_version(saver: AxonSaver) -> None:
    size = 30_000
    for step in range(10):
        version = step // 5
        new = {"large": version} if step % 5 == 0 else {}
        await put(saver, config(), {"large": bytes(size)}, versions={"large": version}, new=new)
    stored = sum(len(row.value) for row in await entries(saver.storage))
    assert 2 * size < stored < 3 * size  # two versions, in Base64
    assert len([found async for found in saver.alist(config()) if found.checkpoint["channel_values"]["large"]]) == 10


async def test_a_checkpoint_that_is_put_again_is_replaced(saver: AxonSaver) -> None:
    await put(saver, config(), {"a": 1}, id="1", note="x" * 3 * 2**20)
    await put(saver, config(), {"a": 2}, id="1", note="short")
    found = await get(saver, config())
    assert (found.checkpoint["channel_values"], found.metadata) == ({"a": 2}, {"note": "short"})


async def test_of_writes_with_an_index_the_first_stays_and_special_ones_are_replaced(saver: AxonSaver) -> None:
    where = await put(saver, config())
    await saver.aput_writes(where, [("a", 1), (ERROR, "first"), ("b", 2)], "task")
    await saver.aput_writes(where, [("a", 3), (ERROR, "second"), ("b", 4), ("c", 5)], "task")
    await saver.aput_writes(where, [(INTERRUPT, "stop")], "task")
    found = await get(saver, where)
    assert found.pending_writes == [
        ("task", INTERRUPT, "stop"),
        ("task", ERROR, "second"),
        ("task", "a", 1),
        ("task", "b", 2),
        ("task", "c", 5),
    ]


async def test_writes_are_in_the_order_of_the_paths_of_their_tasks(saver: AxonSaver) -> None:
    where = await put(saver, config())
    for task, path in (("1", "~3"), ("2", "~2"), ("3", "")):
        await saver.aput_writes(where, [(f"{number}", task) for number in range(12)], task, path)
    found = await get(saver, where)
    expected = [(task, f"{number}", task) for task in "321" for number in range(12)]
    assert found.pending_writes == expected


async def test_a_checkpoint_has_any_number_of_writes(saver: AxonSaver) -> None:
    await put(saver, config(), id="1")
    where = await put(saver, config(), {"a": 1}, id="2")
    await saver.aput_writes(where, [("a", number) for number in range(500)], "task")
    found = await get(saver, config())
    assert found.checkpoint["id"] == "2"
    assert found.pending_writes == [("task", "a", number) for number in range(500)]
    assert [len(each.pending_writes or []) async for each in saver.alist(config())] == [500, 0]


async def test_delta_channels_are_rebuilt_without_the_values_of_other_channels(saver: AxonSaver) -> None:
    where = await put(saver, config(), {"delta": ["x" * 5000], "other": BIG}, id="1")
    for number in range(2, 5):
        await saver.aput_writes(where, [("delta", number)], "task")
        where = await put(saver, where, {"other": BIG}, versions={"delta": 1, "other": number}, id=f"{number}")
    read = list[str]()
    load = saver.storage.load_sessions

    async def noted(scope: str, keys: Any = None, **options: Any) -> Any:
        read.extend(keys or ())
        return await load(scope, keys, **options)

    saver.storage.load_sessions = noted  # type: ignore[method-assign]
    history = await saver.aget_delta_channel_history(config=where, channels=["delta"])
    assert history["delta"] == {"writes": [("task", "delta", n) for n in (2, 3, 4)], "seed": ["x" * 5000]}
    assert {key.split(" ")[2] for key in read} == {"delta"}


async def test_writes_of_a_checkpoint_that_does_not_exist_are_not_those_of_another(saver: AxonSaver) -> None:
    await put(saver, config(), id="1")
    for checkpoint_id in ("0", "10", "2"):
        await saver.aput_writes(config(checkpoint_id=checkpoint_id), [("a", 1)], "task")
    assert (await get(saver, config())).pending_writes == []
    assert await ids(saver, config()) == ["1"]
    assert await saver.aget_tuple(config(checkpoint_id="2")) is None


async def test_checkpoints_are_listed_newest_first_from_all_namespaces_and_threads(saver: AxonSaver) -> None:
    for number in range(30):
        place = config("thread" if number % 3 else "other", f"{number % 2}")
        where = await put(saver, place, {"n": number}, id=f"{number:02}", step=number, even=number % 2 == 0)
        await saver.aput_writes(where, [("a", number)] * 20, "task")
    newest = [f"{number:02}" for number in range(29, -1, -1)]
    of_thread = [each for each in newest if int(each) % 3]
    assert await ids(saver, None) == newest
    assert await ids(saver, None, limit=4, before=config(checkpoint_id="20")) == newest[10:14]
    thread: Any = {"configurable": {"thread_id": "thread"}}
    assert await ids(saver, thread) == of_thread
    assert await ids(saver, thread, filter={"even": True}, limit=3) == ["28", "26", "22"]
    assert await ids(saver, config("thread", "1"), filter={"step": 7}) == ["07"]
    namespace: Any = {"configurable": {"checkpoint_ns": "1"}}
    assert await ids(saver, namespace, limit=3) == ["29", "27", "25"]
    assert await ids(saver, config("thread", "1", "07")) == ["07"]
    assert await ids(saver, config("thread", "1"), limit=0) == []
    assert [found.checkpoint["channel_values"]["n"] async for found in saver.alist(thread, limit=2)] == [29, 28]


async def test_a_checkpoint_with_small_values_is_read_with_one_statement(
    repository: SqlRepository, engine: AsyncEngine
) -> None:
    saver, sent = AxonSaver(repository), list[str]()
    where = await put(saver, config(), {"a": {"b": [1]}, "big": "x" * 5000})
    where = await put(saver, where, {"a": {"b": [1]}, "messages": ["x" * 1000]}, versions={"a": 1, "messages": 2})
    await saver.aput_writes(where, [("a", 1), ("b", 2)], "task")

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        assert len((await get(saver, config())).checkpoint["channel_values"]) == 2
        assert len([each for each in sent if "FROM sessions" in each]) == 1
        assert len([found async for found in saver.alist(config(), limit=1)]) == 1
        assert len([each for each in sent if "FROM sessions" in each]) == 2
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


class _Cipher:
    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "flipped", bytes(byte ^ 0xFF for byte in plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "flipped"
        return bytes(byte ^ 0xFF for byte in ciphertext)


async def test_an_encrypting_serializer_encrypts_values_writes_and_metadata(storage: StorageBackend) -> None:
    saver = AxonSaver(storage, serde=EncryptedSerializer(_Cipher()))
    where = await put(saver, config(), {"small": "secret", "large": "secret" * 1000}, note="secret")
    await saver.aput_writes(where, [("a", "secret")], "task")
    [found] = [found async for found in saver.alist(config(), filter={"note": "secret"})]
    assert found.checkpoint["channel_values"] == {"small": "secret", "large": "secret" * 1000}
    assert found.pending_writes == [("task", "a", "secret")]
    plain = AxonSaver(storage)
    await put(plain, config("plain"), {"small": "secret"})
    known = {row.scope for row in await entries(storage) if "c2VjcmV0" in row.value or "secret" in row.value}
    assert known <= {"langgraph plain"}


async def test_each_tenant_has_its_own_threads(repository: SqlRepository, saver: AxonSaver) -> None:
    await put(saver, config(), {"a": 1})
    assert await AxonSaver(repository.for_tenant("other")).aget_tuple(config()) is None
    with tenant_scope("acme"):
        assert await ids(AxonSaver(repository), None) == await ids(saver, None)


async def test_the_synchronous_methods_work_in_other_threads_only(saver: AxonSaver) -> None:
    where = await put(saver, config(), {"a": 1}, id="1")
    await asyncio.to_thread(saver.put_writes, where, [("a", 2)], "task")
    found = await asyncio.to_thread(saver.get_tuple, config())
    assert found == await get(saver, config())
    assert await asyncio.to_thread(lambda: list(saver.list(config()))) == [found]
    checkpoint = found.checkpoint | {"id": "2"}
    await asyncio.to_thread(saver.put, where, checkpoint, {}, {})
    await asyncio.to_thread(saver.copy_thread, "thread", "copy")
    await asyncio.to_thread(saver.prune, ["thread"])
    await asyncio.to_thread(saver.delete_for_runs, ["run"])
    assert [await ids(saver, config(name)) for name in ("thread", "copy")] == [["2"], ["2", "1"]]
    history = await asyncio.to_thread(lambda: saver.get_delta_channel_history(config=config("copy"), channels=["a"]))
    assert history == {"a": {"writes": [("task", "a", 2)], "seed": 1}}
    await asyncio.to_thread(saver.delete_thread, "thread")
    with pytest.raises(asyncio.InvalidStateError, match="would block its event loop"):
        saver.get_tuple(config())


async def test_invalid_arguments_are_refused(saver: AxonSaver) -> None:
    with pytest.raises(InvalidArgumentError, match="checkpoint id of 100 characters: use at most 64"):
        await put(saver, config(), id="x" * 100)
    with pytest.raises(InvalidArgumentError, match="'keep_all': use 'keep_latest' or 'delete'"):
        await saver.aprune(["thread"], strategy="keep_all")
    with pytest.raises(InvalidArgumentError, match="thread_ids must be a sequence of ids"):
        await saver.aprune("thread")
    with pytest.raises(InvalidArgumentError, match="run_ids must be a sequence of ids"):
        await saver.adelete_for_runs("run")


async def test_tasks_put_checkpoints_and_writes_at_the_same_time(saver: AxonSaver) -> None:
    async def run(task: int) -> None:
        where = config(f"{task}")
        for step in range(5):
            where = await put(saver, where, {"n": step}, id=f"{step}")
            await asyncio.gather(*(saver.aput_writes(where, [("n", write)], f"{write}") for write in range(3)))

    await asyncio.gather(*(run(task) for task in range(16)))
    for task in range(16):
        found = [each async for each in saver.alist(config(f"{task}"))]
        assert [each.checkpoint["channel_values"]["n"] for each in found] == [4, 3, 2, 1, 0]
        assert all(len(each.pending_writes or []) == 3 for each in found)
