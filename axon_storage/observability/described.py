"""The name and the attributes of calls and errors, as the semantic conventions define them."""

from collections.abc import Sequence
from typing import NamedTuple

from axon_storage.engine.observer import Call
from axon_storage.errors import QueryError, StorageConnectionError, StorageError
from axon_storage.observability import names
from axon_storage.observability.source import Attributes, Source


class Known(NamedTuple):
    """What is known when a call begins. ``span_attributes``: those of its span, without the size and the tenant."""

    span_name: str
    span_attributes: Attributes
    attributes: Attributes


class Described:
    """Describes the calls of a storage. The description of an operation is made once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[tuple[str, str | None], Known] = {}

    def known(self, call: Call) -> Known:
        """Return what is known about a call or a group commit."""
        key = _batch(call.carried) if call.carried else (call.operation, call.table)
        found = self._known.get(key)
        return self._describe(*key) if found is None else found

    def _describe(self, operation: str, table: str | None) -> Known:
        attributes = {**self._source.attributes(), names.OPERATION: operation}
        if table is not None:
            attributes[names.COLLECTION] = table
        known = Known(_span_name(attributes), {**attributes, **self._source.further_attributes()}, attributes)
        if self._source.is_known:
            self._known[operation, table] = known
        return known


def _span_name(attributes: Attributes) -> str:
    """Return the name of a span: the operation, and the table, the database or the server."""
    target = attributes.get(names.COLLECTION) or attributes.get(names.NAMESPACE)
    if target is None and names.ADDRESS in attributes:
        port = attributes.get(names.PORT)
        target = f"{attributes[names.ADDRESS]}" if port is None else f"{attributes[names.ADDRESS]}:{port}"
    return f"{attributes[names.OPERATION]}" if target is None else f"{attributes[names.OPERATION]} {target}"


def error_attributes(error: BaseException) -> dict[str, str | int]:
    """Return the attributes of an error: its type and, if the database has returned one, its code."""
    code = error.code if isinstance(error, StorageError) else None
    if code is not None:
        return {names.ERROR_TYPE: code, names.STATUS_CODE: code}
    return {names.ERROR_TYPE: _error_type(error)}


def description(error: BaseException) -> str | None:
    """Return the message of an error, or None if it might contain a value of the application."""
    return str(error) if isinstance(error, StorageConnectionError | QueryError) else None


def _error_type(error: BaseException) -> str:
    """Return the name of an error's class; of a connection error the class of its cause, if there is one."""
    found = error.__cause__ if isinstance(error, StorageConnectionError) and error.__cause__ is not None else error
    kind = type(found)
    is_plain = isinstance(found, StorageError) or kind.__module__ == "builtins"
    return kind.__qualname__ if is_plain else f"{kind.__module__}.{kind.__qualname__}"


def _batch(carried: Sequence[Call]) -> tuple[str, str | None]:
    """Return the operation and the table of a group commit: those of its calls, if all have the same.

    With one call it is a batch too, since otherwise that call would be counted twice.
    """
    operations, tables = {call.operation for call in carried}, {call.table for call in carried}
    operation = f"BATCH {operations.pop()}" if len(operations) == 1 else "BATCH"
    return operation, tables.pop() if len(tables) == 1 else None
