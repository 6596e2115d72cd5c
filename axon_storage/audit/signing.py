"""Signs seals with Ed25519. The package cryptography is imported only here, when a key is used."""

from pathlib import Path
from typing import Any

from axon_storage.audit.encoding import encoded
from axon_storage.audit.results import KeptSeal
from axon_storage.errors import InvalidArgumentError

_MISSING = 'signatures need the package cryptography: pip install "axon-storage[signing]"'
_MAKE = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`"


def private_key(file: str | Path) -> Any:
    """Return the private key in a PEM file without a password."""
    return _key(file, "load_pem_private_key", {"password": None}, "Ed25519PrivateKey", f"private key in PEM: {_MAKE}")


def public_key(file: str | Path) -> Any:
    """Return the public key in a PEM file."""
    remedy = "write it with `openssl pkey -in key.pem -pubout -out public.pem`"
    return _key(file, "load_pem_public_key", {}, "Ed25519PublicKey", f"public key in PEM: {remedy}")


def sign(key: Any, seal: KeptSeal) -> str:
    """Return the signature of a seal, in hexadecimal."""
    return bytes(key.sign(_signed(seal))).hex()


def is_signed(key: Any, seal: KeptSeal) -> bool:
    """Return whether a seal has the signature of the private key that belongs to the public key ``key``."""
    try:
        key.verify(bytes.fromhex(seal.signature or ""), _signed(seal))
    except Exception as error:
        if type(error).__name__ not in {"InvalidSignature", "ValueError"}:  # cryptography is optional
            raise
        return False
    return True


def _signed(seal: KeptSeal) -> bytes:
    return encoded("kept seal", [seal.tenant, seal.number, seal.until, seal.sealed_at, seal.hash])


def _key(file: str | Path, load: str, options: dict[str, Any], kind: str, wanted: str) -> Any:
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # optional
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # optional
    except ModuleNotFoundError:
        raise InvalidArgumentError(_MISSING) from None
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"the key file {file}: {error.strerror or type(error).__name__}") from None
    try:
        key = getattr(serialization, load)(data, **options)
    except Exception:  # of many types; they may quote the key
        key = None
    if not isinstance(key, getattr(ed25519, kind)):
        raise InvalidArgumentError(f"the key file {file} has no Ed25519 {wanted}") from None
    return key
