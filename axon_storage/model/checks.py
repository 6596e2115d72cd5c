"""Checks and error messages that the field types and the JSON codec share."""

from math import inf, isnan
from typing import Any

from axon_storage.errors import SerializationError

MAX_ROW_BYTES = 7 * 2**20
"""The limit for all text and JSON in one row, in bytes of UTF-8.

Escaping can double the size, which still fits into the default ``max_allowed_packet`` of MySQL and MariaDB.
"""

QUOTED_LENGTH = 40
"""The maximum length of a value, key or path that an error message quotes. A message quotes at most two."""


class RefusedError(ValueError):
    """An invalid value inside a JSON document. ``path``: its position, such as ``[2].score``."""

    path = ""


def refusal(place: str, refused: ValueError) -> SerializationError:
    """Return the error for an invalid value. ``place``: the table and field, such as ``traces.events``."""
    path = refused.path if isinstance(refused, RefusedError) else ""
    clipped = path if len(path) <= QUOTED_LENGTH else f"{path[: QUOTED_LENGTH - 1]}…"
    return SerializationError(f"{place}{clipped}: {refused}")


def check_str(value: Any) -> None:
    """Raise a ValueError unless ``value`` is a str without U+0000 and lone surrogates."""
    if type(value) is not str:
        raise ValueError(f"{describe(value)} is not a str")
    if "\0" in value:
        raise ValueError(f"U+0000 at character {value.index(chr(0))}")
    if not value.isascii() and (position := _surrogate(value)) is not None:
        raise ValueError(f"a lone surrogate at character {position}")


def _surrogate(text: str) -> int | None:
    """Return the position of the first lone surrogate, or None."""
    # The caller raises, not this function, because the context of its error would have the whole text.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def describe(value: Any) -> str:
    """Return a description for error messages: a short number, a bool or None itself, otherwise the type's name.

    A message must not contain the data that the caller wanted to store.
    """
    if type(value) is float:
        return {inf: "Infinity", -inf: "-Infinity"}.get(value, "NaN" if isnan(value) else repr(value))
    if type(value) is int:
        return str(value) if value.bit_length() < 120 else f"an integer of {value.bit_length()} bits"
    return str(value) if value is None or type(value) is bool else type(value).__name__[:QUOTED_LENGTH]


def utf8_size(text: str) -> int:
    """Return the size of a string in UTF-8, in bytes."""
    return len(text) if text.isascii() else len(text.encode())
