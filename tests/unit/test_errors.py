"""The error classes: prefixes, attributes, pickling."""

import pickle
from datetime import datetime
from uuid import uuid4

import pytest

from axon_storage import (
    EventRow,
    InMemoryBackend,
    InvalidArgumentError,
    NotFoundError,
    QueryError,
    SerializationError,
    StorageConnectionError,
    StorageError,
    TenantMismatchError,
    operation_timeout,
)
from axon_storage.testing.samples import sample

PREFIXES = {
    StorageConnectionError: "connection error",
    QueryError: "query error",
    SerializationError: "serialization error",
    NotFoundError: "not found",
    TenantMismatchError: "tenant mismatch",
    InvalidArgumentError: "invalid argument",
}


@pytest.mark.parametrize("kind", PREFIXES)
def test_the_message_begins_with_the_prefix(kind: type[StorageError]) -> None:
    assert issubclass(kind, StorageError)
    assert str(kind("timeout")) == f"{PREFIXES[kind]}: timeout"
    assert str(kind("timeout", operation="save_trace")) == f"{PREFIXES[kind]}: save_trace: timeout"
    assert kind("timeout").transient is False
    assert kind("timeout").operation is None


async def test_an_argument_out_of_range_is_a_storage_error_and_a_value_error() -> None:
    storage = InMemoryBackend()
    with pytest.raises(InvalidArgumentError, match="load_traces: limit must be") as refused:
        await storage.load_traces(-1)
    assert isinstance(refused.value, StorageError)
    assert isinstance(refused.value, ValueError)
    with pytest.raises(InvalidArgumentError, match="iter_traces: since must be"):
        storage.iter_traces(since=datetime(2026, 1, 1))  # without a time zone, on purpose
    with pytest.raises(InvalidArgumentError, match="append_event: id: not a UUIDv7"):
        await storage.append_event(sample(EventRow), id=uuid4())
    with pytest.raises(InvalidArgumentError, match="timeout"), operation_timeout(0):
        pass


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(QueryError("deadlock", operation="save_many", transient=True)))  # noqa: S301  # ours
    assert str(error) == "query error: save_many: deadlock"
    assert error.transient
