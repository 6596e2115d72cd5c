"""The keyring: what it refuses, that nothing shows its keys, wrapped keys, and keyring files."""

import copy
import json
import os
import pickle
import stat
import subprocess
import sys
import traceback
from base64 import b64encode
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from axon_storage import EncryptionError, InMemoryBackend, InvalidArgumentError, open_storage
from axon_storage.encryption import Keyring, MasterKey, WrappedKey, files
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.columns import all_columns
from axon_storage.encryption.envelope import Place
from tests.encryption.conftest import KEYS, TENANT, keyring

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = b"MARKED-KEY-of-32-bytes-0123456789"[:32]
SHOWN = (repr(SECRET), SECRET.decode(), b64encode(SECRET).decode(), SECRET.hex())
PLACE = Place("sessions", TENANT, ("a", "b"), "value")


def test_all_json_and_long_text_columns_are_encrypted_by_default() -> None:
    assert keyring("one").columns == all_columns() == {
        "traces.events", "traces.annotations", "sessions.value", "daemons.lifecycle_events", "audit_log.detail",
        "axon_stores.ontology", "axon_stores.entries", "dataspaces.ontology", "dataspaces.entries",
        "dataspaces.associations", "hibernations.checkpoints", "event_history.payload", "execution_cache.result",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        ({}, {}, "there is no key"),
        ({"": KEYS["one"]}, {}, "an id is not 1 to 32 letters"),
        ({"a.b": KEYS["one"]}, {}, "an id is not 1 to 32 letters"),
        ({"a" * 33: KEYS["one"]}, {}, "an id is not 1 to 32 letters"),
        ({"a": SECRET}, {}, "'a' is not a MasterKey"),
        ({"a": WrappedKey(b"x")}, {}, "pass an unwrapper"),
        ({"a": KEYS["one"], "b": KEYS["two"]}, {}, "active: there are several keys"),
        ({"a": KEYS["one"]}, {"active": "b"}, "active: there is no key"),
        ({"a": KEYS["one"]}, {"columns": ["sessions.scope"]}, "'sessions.scope' cannot be encrypted; these can: audit"),
        ({"a": KEYS["one"]}, {"columns": "sessions.value"}, "a string is not a list"),
        ({"a": KEYS["one"]}, {"columns": []}, "no column would be encrypted"),
    ],
)
def test_a_keyring_that_cannot_be_used_is_refused(keys: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Keyring(keys, **options)


@pytest.mark.parametrize("value", [b"", b"x" * 31, b"x" * 33, "x" * 32])
def test_a_master_key_has_32_bytes(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="32 bytes"):
        MasterKey(value)


def _too_short() -> None:
    MasterKey.from_base64(b64encode(SECRET[:31]).decode() + SECRET.decode())


async def _wrong() -> None:
    cipher = DocumentCipher(Keyring({"a": MasterKey(SECRET)}))
    cipher.decrypt(PLACE, cipher.encrypt(PLACE._replace(column="x"), "text"))


class Failing:
    """A service whose error shows the key."""

    async def unwrap(self, _key_id: str, wrapped: bytes) -> bytes:
        raise RuntimeError(f"{wrapped!r}")


async def test_no_representation_pickle_error_or_traceback_shows_a_key(tmp_path: Path) -> None:
    key, ring = MasterKey(SECRET), Keyring({"a": MasterKey(SECRET)})
    cipher = DocumentCipher(ring)
    cipher.encrypt(PLACE, "text")
    file = tmp_path / "keyring.json"
    file.write_text(json.dumps({"active": "b", "keys": {"a": b64encode(SECRET).decode()}}))
    file.chmod(0o600)
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps({"active": "a", "keys": {"a": b64encode(SECRET).decode()}}) + "}")
    damaged.chmod(0o600)
    shown = [repr(key), str(key), f"{key}", repr(ring), repr(cipher), repr([key])]
    calls: list[Callable[[], Any]] = [
        lambda: pickle.dumps(key), lambda: pickle.dumps(ring), lambda: copy.deepcopy(ring), _too_short,
        lambda: files.read_keyring(file), lambda: files.read_keyring(damaged), lambda: files.add_key(file, "a"),
        lambda: Keyring({"a": key}, active="b"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises((TypeError, InvalidArgumentError)) as refused:
            call()
        shown.append(_with_locals(refused.value))
    with pytest.raises(EncryptionError) as wrong:
        await _wrong()
    shown.append(_with_locals(wrong.value))
    with pytest.raises(EncryptionError) as failed:
        await Keyring({"a": WrappedKey(SECRET)}, unwrapper=Failing()).unlock()
    shown.append(_with_locals(failed.value))
    assert "cipher = " in "\n".join(shown)  # locals are shown
    for text in shown:
        assert not [form for form in SHOWN if form in text]


def _with_locals(error: BaseException) -> str:
    """Return the whole text of an error as a tool that reports locals shows it, without the frame of the test."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    del found.stack[0]
    return "".join(found.format())


class KeyService:
    """A key management service: it has a key of its own, with which it wraps the keys of others (RFC 3394)."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import keywrap  # noqa: PLC0415  # as the package does

        self._keywrap, self._key, self.calls = keywrap, os.urandom(32), 0

    def wrap(self, key: bytes) -> bytes:
        return bytes(self._keywrap.aes_key_wrap(self._key, key))

    async def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        assert key_id == "a"
        self.calls += 1
        return bytes(self._keywrap.aes_key_unwrap(self._key, wrapped))


async def test_a_key_that_a_service_has_wrapped_is_unwrapped_once() -> None:
    service = KeyService()
    wrapped = service.wrap(SECRET)
    assert SECRET not in wrapped
    ring = Keyring({"a": WrappedKey(wrapped)}, unwrapper=service)
    cipher, plain = DocumentCipher(ring), DocumentCipher(Keyring({"a": MasterKey(SECRET)}))
    for _ in range(2):
        await cipher.load(TENANT, create=True)
        assert plain.decrypt(PLACE, cipher.encrypt(PLACE, "text")) == "text"
    assert service.calls == 1


async def test_a_key_that_cannot_be_unwrapped_prevents_opening(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'agents.db'}"
    ring = Keyring({"a": WrappedKey(b"not wrapped by it" * 3)}, unwrapper=KeyService())
    for each in (url, "memory://"):
        with pytest.raises(EncryptionError, match=r"key 'a' cannot be unwrapped \(Inval") as refused:
            async with open_storage(each, encryption=ring):
                pass
        assert refused.value.code == "key_unavailable"


async def test_a_storage_that_stores_nothing_takes_a_keyring() -> None:
    async with open_storage("memory://", encryption=keyring("one")) as storage:
        assert isinstance(storage.backend, InMemoryBackend)
    with pytest.raises(InvalidArgumentError, match="encryption: dict is not a Keyring"):
        async with open_storage("memory://", encryption={}):  # type: ignore[arg-type]
            pass


_USE = """
import asyncio, sys
import axon_storage
from axon_storage.encryption import Keyring, MasterKey

keyring = Keyring({"a": MasterKey.generate()})
assert "cryptography" not in sys.modules
sys.modules["cryptography"] = None

async def main():
    async with axon_storage.open_storage(sys.argv[1]):
        pass
    try:
        async with axon_storage.open_storage(sys.argv[1], encryption=keyring):
            pass
    except axon_storage.InvalidArgumentError as missing:
        print(missing)

asyncio.run(main())
"""


def test_cryptography_is_imported_only_for_a_storage_with_a_keyring(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _USE, f"sqlite:///{tmp_path / 'agents.db'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "pip install 'axon-storage[encryption]'" in done.stdout


def test_a_keyring_file_is_made_changed_and_read(tmp_path: Path) -> None:
    file = tmp_path / "keyring.json"
    files.generate(file, "a", tenant_secrets="secrets")
    files.add_key(file, "b")
    ring = files.read_keyring(file)
    assert (ring.key_ids, ring.active) == (("a", "b"), "a")
    assert ring.tenant_secrets is not None
    files.activate_key(file, "b")
    files.remove_key(file, "a")
    assert (files.read_keyring(file).key_ids, files.read_keyring(file).active) == (("b",), "b")
    assert files.read_keyring(file).master_key("b").reveal() == ring.master_key("b").reveal()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    with pytest.raises(InvalidArgumentError, match="exists"):
        files.generate(file, "c")
    with pytest.raises(InvalidArgumentError, match="has no key with this id"):
        files.activate_key(file, "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no keyring file"),
        ("[]", "is no keyring file"),
        ('{"active": "a"}', "is no keyring file"),
        ('{"active": "a", "keys": {"a": 1}}', "is no keyring file"),
        ('{"active": "a", "keys": {}, "other": 1}', "is no keyring file"),
        ('{"active": "a", "keys": {"a": "eA=="}}', "a master key is 32 bytes"),
    ],
)
def test_a_file_that_is_no_keyring_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "keyring.json"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(InvalidArgumentError, match=message):
        files.read_keyring(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root")
def test_the_group_may_read_a_keyring_file_of_root(tmp_path: Path) -> None:
    file = tmp_path / "keyring.json"
    files.generate(file, "a")
    for mode, is_refused in ((0o440, False), (0o640, False), (0o660, True), (0o604, True)):
        file.chmod(mode)
        with pytest.raises(InvalidArgumentError, match="other users") if is_refused else nullcontext():
            files.read_keyring(file)


def test_processes_that_add_keys_at_the_same_time_lose_none(tmp_path: Path) -> None:
    file, link = tmp_path / "folder" / "keyring.json", tmp_path / "link.json"
    file.parent.mkdir()
    files.generate(file, "a")
    link.symlink_to(file)
    names = [f"key-{number}" for number in range(24)]
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        list(processes.map(files.add_key, [link] * len(names), names))
    assert set(files.read_keyring(file).key_ids) == {"a", *names}
    assert link.is_symlink()


def test_a_keyring_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keyring.json"
    files.generate(file, "a")
    if os.geteuid() == 0:
        os.chown(file, 12_345, -1)
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        with pytest.raises(InvalidArgumentError, match="other users can use"):
            files.read_keyring(file)
    with pytest.raises(InvalidArgumentError, match="No such file"):
        files.read_keyring(tmp_path / "missing.json")
