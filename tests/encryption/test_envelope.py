"""The envelope: known answers, and every change of it or of its place is found.

The known answers were computed by another implementation of AES-GCM and HKDF (in Python, checked with vectors of NIST
and of RFC 5869).
"""

import hmac
import itertools
import os
from base64 import b64decode, b64encode
from typing import Any
from uuid import UUID

import pytest

from axon_storage import EncryptionError
from axon_storage.encryption import Keyring, MasterKey
from axon_storage.encryption import cipher as module
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.envelope import Place, additional_data, label_of, length_prefixed
from tests.encryption.conftest import TENANT, keyring

NONCE = bytes(range(100, 112))
TEXT = '{"é":[1,null]}'
ENTRY = UUID("01980000-0000-7000-8000-000000000001")
SESSION = Place("sessions", TENANT, ("scope", "key"), "value")
GOLDEN = "axon1.m.one.ZGVmZ2hpamtsbW5v4i/CGIbwlfMIcOPOd2VnVwEJI5X5JZimv5CmZsrOOA=="


class Secrets:
    """The same secret for every tenant."""

    async def get(self, _tenant: str) -> bytes | None:
        return b"\x55" * 32

    async def create(self, _tenant: str) -> bytes:
        return b"\x55" * 32

    async def erase(self, _tenant: str) -> bool:
        return False


async def loaded(keys: Keyring) -> DocumentCipher:
    cipher = DocumentCipher(keys)
    await cipher.load(TENANT, create=True)
    return cipher


@pytest.mark.parametrize(
    ("place", "options", "expected"),
    [
        (SESSION, {}, GOLDEN),
        (
            Place("traces", TENANT, (2**64 - 1,), "events"),
            {"tenant_secrets": Secrets()},
            "axon1.t.one.ZGVmZ2hpamtsbW5vG4+SR66jJocwoImtDpgIpePBE1PwIsBVdczkdhjI+Q==",
        ),
        (
            Place("audit_log", TENANT, (ENTRY,), "detail"),
            {},
            "axon1.m.one.ZGVmZ2hpamtsbW5v4i/CGIbwlfMIcOPOd2Vnd24u6Pvc0Y/u9y3iHi4Czw==",
        ),
    ],
)
async def test_an_envelope_is_that_of_another_implementation(
    place: Place, options: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = await loaded(keyring("one", **options))
    monkeypatch.setattr(os, "urandom", lambda _count: NONCE)
    assert cipher.encrypt(place, TEXT) == expected
    assert cipher.decrypt(place, expected) == TEXT


async def test_a_key_is_derived_as_hkdf_does() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # as the package does

    cipher = await loaded(keyring("one", tenant_secrets=Secrets()))
    info = length_prefixed(["axon-storage documents 1", TENANT])
    extracted = hmac.digest(b"\x55" * 32, bytes(range(32)), "sha256")
    key = hmac.digest(extracted, info + b"\x01", "sha256")
    envelope = cipher.encrypt(SESSION, TEXT)
    label = label_of(envelope)
    assert label is not None
    data = b64decode(envelope.rpartition(".")[2])
    assert AESGCM(key).decrypt(data[:12], data[12:], additional_data(label, SESSION)) == TEXT.encode()


async def test_each_envelope_has_its_own_nonce() -> None:
    cipher = await loaded(keyring("one"))
    assert len({cipher.encrypt(SESSION, TEXT) for _ in range(1_000)}) == 1_000


def test_additional_data_has_the_length_of_each_part() -> None:
    parts = ("a", "bc", "")
    assert length_prefixed(parts) == bytes(7) + b"\x01a" + bytes(7) + b"\x02bc" + bytes(8)
    splits = {length_prefixed([text[:at], text[at:]]) for text in ("abc",) for at in range(4)}
    assert len(splits) == 4


async def test_each_changed_character_and_bit_is_found() -> None:
    cipher = await loaded(keyring("one"))
    for at, other in itertools.product(range(len(GOLDEN)), "A+=.1"):
        if GOLDEN[at] != other:
            with pytest.raises(EncryptionError):
                cipher.decrypt(SESSION, GOLDEN[:at] + other + GOLDEN[at + 1 :])
    head, _, text = GOLDEN.rpartition(".")
    data = b64decode(text)
    for at, bit in itertools.product(range(len(data)), range(8)):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        with pytest.raises(EncryptionError, match=r"sessions\.value: a stored value is not authentic"):
            cipher.decrypt(SESSION, f"{head}.{b64encode(changed).decode()}")


@pytest.mark.parametrize("count", range(1, len(GOLDEN)))
async def test_a_part_of_an_envelope_is_refused(count: int) -> None:
    cipher = await loaded(keyring("one"))
    for changed in (GOLDEN[:count], GOLDEN[count:], GOLDEN + GOLDEN[:count]):
        with pytest.raises(EncryptionError):
            cipher.decrypt(SESSION, changed)


async def test_another_text_for_the_same_bytes_is_refused() -> None:
    cipher = await loaded(keyring("one"))
    last = GOLDEN[-3]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    others = [alphabet[alphabet.index(last) // 16 * 16 + number] for number in range(1, 16)]
    for other in others:
        assert b64decode((GOLDEN[:-3] + other + "==").rpartition(".")[2]) == b64decode(GOLDEN.rpartition(".")[2])
        with pytest.raises(EncryptionError):
            cipher.decrypt(SESSION, GOLDEN[:-3] + other + "==")


@pytest.mark.parametrize(
    "place",
    [
        SESSION._replace(table="axon_stores"),
        SESSION._replace(tenant="acme"),
        SESSION._replace(key=("scope", "key2")),
        SESSION._replace(key=("scop", "ekey")),
        SESSION._replace(column="source_step"),
    ],
)
async def test_an_envelope_of_another_place_is_refused(place: Place) -> None:
    cipher = await loaded(keyring("one"))
    with pytest.raises(EncryptionError) as refused:
        cipher.decrypt(place, GOLDEN)
    assert refused.value.code == "value_not_authentic"


async def test_the_tenant_is_in_the_key_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "additional_data", lambda _label, _place: b"")
    cipher = await loaded(keyring("one"))
    envelope = cipher.encrypt(SESSION, TEXT)
    assert cipher.decrypt(SESSION._replace(key=("x", "y")), envelope) == TEXT
    with pytest.raises(EncryptionError):
        cipher.decrypt(SESSION._replace(tenant="acme"), envelope)


@pytest.mark.parametrize("stored", [None, 1, {"a": 1}, "", "text", "axon2.m.one.AAAA", '{"a": 1}'])
async def test_a_value_without_an_envelope_is_never_a_document(stored: object) -> None:
    cipher = await loaded(keyring("one"))
    with pytest.raises(EncryptionError, match=r"sessions\.value: a stored value is not encrypted") as refused:
        cipher.decrypt(SESSION, stored)
    assert refused.value.code == "value_not_encrypted"


async def test_the_error_of_a_missing_or_a_wrong_key_names_its_id() -> None:
    missing = await loaded(keyring("two"))
    with pytest.raises(EncryptionError, match="key 'one' is not in the keyring") as refused:
        missing.decrypt(SESSION, GOLDEN)
    assert refused.value.code == "key_missing"
    wrong = await loaded(Keyring({"one": MasterKey.generate()}))
    with pytest.raises(EncryptionError, match="key 'one'") as refused:
        wrong.decrypt(SESSION, GOLDEN)
    assert refused.value.code == "value_not_authentic"
