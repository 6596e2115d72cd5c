"""Rotation: every document gets the active key, beside writers, after being killed, and from plaintext."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from random import Random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    EncryptionError,
    InvalidArgumentError,
    SessionRow,
    SqlRepository,
    TraceRow,
    create_engine,
    open_storage,
)
from axon_storage import rotation as module
from axon_storage.encryption import Keyring, MasterKey
from axon_storage.model.rows import ROW_TYPES
from axon_storage.rotation import KeyUse, key_status, require_unused, rotate
from axon_storage.testing.samples import LARGEST, sample
from axon_storage.testing.verbs import everything, load
from tests.databases import SERVERS
from tests.encryption.conftest import KEYS, OTHER, TENANT, Replace, Stored, keyring

CHECKOUT = Path(__file__).parents[2]
MOMENTS = 12 if "AXON_MATRIX" in os.environ else 2


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_ROWS", 3)
    monkeypatch.setattr(module, "STEP_ROWS", 2)


async def _fill(storage: SqlRepository) -> None:
    for tenant in (TENANT, OTHER):
        view = storage.for_tenant(tenant)
        await view.save_many(sample(row_type, tenant) for row_type in ROW_TYPES)
        await view.save_many(sample(TraceRow, tenant, trace_id=number) for number in (0, 1, 2**63 - 1, 2**63, LARGEST))
        await view.save_many(
            sample(SessionRow, tenant, scope=scope, key=key) for scope in ("", "a ", "é") for key in ("", "\x01", "x")
        )
        for number in range(4):
            await view.append_audit(sample(AuditRow, tenant, detail=number))


async def _everything(storage: SqlRepository) -> list[object]:
    return [row for tenant in (TENANT, OTHER) for row in await everything(storage.for_tenant(tenant))]


def _counts(uses: list[KeyUse]) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    for use in uses:
        counts[use.key_id] = counts.get(use.key_id, 0) + use.documents
    return counts


async def test_a_rotation_gives_every_document_the_active_key(storage: SqlRepository, engine: AsyncEngine) -> None:
    await _fill(storage)
    before = await _everything(storage)
    count = _counts(await key_status(storage))["one"]
    both = SqlRepository(engine, encryption=keyring("one", "two"))
    await both.for_tenant(TENANT).save_session(sample(SessionRow, TENANT))
    assert _counts(await key_status(both)) == {"one": count - 1, "two": 1}
    with pytest.raises(EncryptionError, match=rf"key 'one' is needed by {count - 1} documents") as refused:
        await require_unused(both, "one")
    assert refused.value.code == "key_in_use"
    assert await rotate(both.for_tenant(OTHER)) == await rotate(both) + 1 > 20
    assert await rotate(both) == 0
    assert _counts(await key_status(both)) == {"two": count}
    await require_unused(both, "one")
    assert await _everything(SqlRepository(engine, encryption=keyring("two"))) == before
    with pytest.raises(EncryptionError, match="key 'two' is not in the keyring"):
        await load(storage.for_tenant(TENANT), SessionRow)


async def test_existing_plaintext_is_encrypted_only_if_it_is_asked_for(
    plain: SqlRepository, storage: SqlRepository, stored: Stored
) -> None:
    await _fill(plain)
    before = await _everything(plain)
    assert _counts(await key_status(storage)).keys() == {None}
    with pytest.raises(EncryptionError, match="is not encrypted: convert") as refused:
        await rotate(storage)
    assert refused.value.code == "value_not_encrypted"
    assert _counts(await key_status(storage)).keys() == {None}
    assert await rotate(storage, from_plaintext=True) > 40
    assert _counts(await key_status(storage)).keys() == {"one"}
    assert await _everything(storage) == before
    assert all("axon1.m.one." in text for row in await stored(AuditRow) for text in row)


async def test_a_document_that_is_not_authentic_is_told_after_all_others_are_rotated(
    storage: SqlRepository, engine: AsyncEngine, stored: Stored, replace: Replace
) -> None:
    await _fill(storage)
    [(text, _), *_] = await stored(TraceRow)
    await replace(TraceRow, "annotations", text, trace_id=1)
    both = SqlRepository(engine, encryption=keyring("one", "two"))
    with pytest.raises(
        EncryptionError,
        match=r"rotate: \d+ rows were changed, and 1 were not, .* traces\.annotations: a stored value is not authentic",
    ) as damaged:
        await rotate(both)
    assert damaged.value.code == "value_not_authentic"
    assert text in [annotations for _, annotations in await stored(TraceRow)]
    assert _counts(await key_status(both))["one"] == 2  # the documents of that row
    with pytest.raises(EncryptionError, match="0 rows were changed, and 1 were not"):
        await rotate(both)


async def test_a_rotation_beside_writers_loses_no_write(storage: SqlRepository, url: str) -> None:
    view, keys = storage.for_tenant(TENANT), [str(number) for number in range(20)]
    last = dict.fromkeys(keys, "")

    async def write(writer: SqlRepository, mine: list[str], random: Random) -> None:
        for number in range(30):
            key = random.choice(mine)
            last[key] = f"{number}"
            row = sample(SessionRow, TENANT, scope="s", key=key, value=last[key])
            await writer.for_tenant(TENANT).save_session(row)

    await view.save_many(sample(SessionRow, TENANT, scope="s", key=key, value="") for key in keys)
    random = Random(3)  # noqa: S311  # not used for security
    async with SqlRepository(create_engine(url), encryption=keyring("one", "two")) as both:
        writing = asyncio.gather(write(storage, keys[::2], random), write(both, keys[1::2], random))
        while not writing.done():
            storage_with_two = SqlRepository(storage.engine, encryption=keyring("one", "two"))
            await rotate(storage_with_two)
        # the writer with the older keyring must not read what the other has encrypted, and only writes
        await writing
        await rotate(both)
        found = {row.key: row.value for row in await load(both.for_tenant(TENANT), SessionRow)}
        assert found == last
        assert _counts(await key_status(both)).keys() == {"two"}


async def test_a_rotation_waits_for_a_write_in_progress(storage: SqlRepository, url: str) -> None:
    view = storage.for_tenant(TENANT)
    await view.save_session(sample(SessionRow, TENANT, value="old"))
    async with SqlRepository(create_engine(url), encryption=keyring("one", "two")) as both:
        async with view.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, TENANT, value="new"))
            rotation = asyncio.create_task(rotate(both))
            await asyncio.sleep(0.3)
            assert not rotation.done()
        assert await rotation == 1
        assert [row.value for row in await load(both.for_tenant(TENANT), SessionRow)] == ["new"]
        assert _counts(await key_status(both)) == {"two": 1}


@pytest.mark.parametrize("function", [rotate, key_status])
async def test_a_storage_without_a_keyring_is_refused(plain: SqlRepository, function: object) -> None:
    with pytest.raises(InvalidArgumentError, match="open it with encryption="):
        await function(plain)  # type: ignore[operator]


_CHILD = """
import asyncio, json, sys
from base64 import b64decode
from axon_storage import open_storage, rotation
from axon_storage.encryption import Keyring, MasterKey

def show(progress):
    print(progress.table, flush=True)

async def main():
    keys = {key_id: MasterKey(b64decode(text)) for key_id, text in json.loads(sys.stdin.readline()).items()}
    rotation.PAGE_ROWS, rotation.STEP_ROWS = 50, 10
    async with open_storage(sys.argv[1], encryption=Keyring(keys, active="two")) as storage:
        await rotation.rotate(storage, from_plaintext=True, progress=show)

asyncio.run(main())
"""


@pytest.mark.not_on("oracle", "the double is too slow for this many rows")
async def test_a_rotation_that_is_killed_goes_on(storage: SqlRepository, plain: SqlRepository, url: str) -> None:
    await storage.save_many(sample(SessionRow, scope="s", key=f"{number:04}") for number in range(600))
    await plain.save_many(sample(SessionRow, scope="t", key=f"{number:04}") for number in range(600))
    random, killed, done = Random(7), 0, [0]  # noqa: S311  # not used for security
    both = SqlRepository(storage.engine, encryption=keyring("one", "two"))
    for _ in range(MOMENTS):
        killed += await asyncio.to_thread(_killed, url, random)
        counts = _counts(await key_status(both))
        assert sum(counts.values()) == 1_200
        done.append(counts.get("two", 0))
    assert done == sorted(done)
    assert killed > 0
    await rotate(both, from_plaintext=True)
    assert _counts(await key_status(both)) == {"two": 1_200}
    assert len(await load(both, SessionRow)) == 1_200


def _killed(url: str, random: Random) -> bool:
    """Kill a process with a rotation soon after one of its pages; return whether it was running."""
    keys = json.dumps({name: b64encode(KEYS[name].reveal()).decode() for name in ("one", "two")})
    command = [sys.executable, "-c", _CHILD, url]
    child = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        child.stdin.write(keys + "\n")
        child.stdin.flush()
        for _ in range(random.randrange(1, 8)):
            child.stdout.readline()
        try:
            child.wait(timeout=random.uniform(0.0, 0.02))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.stdout.read()
    return child.returncode == -signal.SIGKILL


async def test_wrong_keys_prevent_opening_and_one_damaged_row_does_not(
    storage: SqlRepository, url: str, stored: Stored, replace: Replace
) -> None:
    view = storage.for_tenant(TENANT)
    await view.save_many(sample(SessionRow, TENANT, key=key) for key in "ab")
    wrong = Keyring({"one": MasterKey.generate()})
    for ring, code in ((wrong, "value_not_authentic"), (keyring("three"), "key_missing")):
        with pytest.raises(EncryptionError, match=r"open: .*'one'") as refused:
            async with open_storage(url, encryption=ring) as opened:
                await opened.for_tenant(TENANT).save_session(sample(SessionRow, TENANT))
        assert refused.value.code == code
    (_, (of_b,)) = await stored(SessionRow)
    for text in (of_b, "axon1.m.zzz.AAAA", "plain"):
        await replace(SessionRow, "value", text, key="a")
        async with open_storage(url, encryption=keyring("one")) as opened:
            assert (await opened.for_tenant(TENANT).get_session(sample(SessionRow).scope, "b")) is not None
