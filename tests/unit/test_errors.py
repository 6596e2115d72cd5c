"""The error tree: prefixes, what an error carries, and that it survives pickling."""

import pickle

import pytest

from axon_storage import (
    NotFoundError,
    QueryError,
    SerializationError,
    StorageConnectionError,
    StorageError,
    TenantMismatchError,
)

PREFIXES = {
    StorageConnectionError: "connection error",
    QueryError: "query error",
    SerializationError: "serialization error",
    NotFoundError: "not found",
    TenantMismatchError: "tenant mismatch",
}


@pytest.mark.parametrize("kind", PREFIXES)
def test_the_prefix_begins_the_message(kind: type[StorageError]) -> None:
    assert issubclass(kind, StorageError)
    assert str(kind("timeout")) == f"{PREFIXES[kind]}: timeout"
    assert str(kind("timeout", operation="save_trace")) == f"{PREFIXES[kind]}: save_trace: timeout"
    assert kind("timeout").transient is False
    assert kind("timeout").operation is None


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(QueryError("deadlock", operation="save_many", transient=True)))  # noqa: S301  # ours
    assert str(error) == "query error: save_many: deadlock"
    assert error.transient
