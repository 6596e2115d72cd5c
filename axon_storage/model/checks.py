"""Checks and error texts that the field kinds and the JSON codec share."""

from math import inf, isnan
from typing import Any

from axon_storage.errors import SerializationError

MAX_ROW_BYTES = 7 * 2**20
"""The limit for all text and JSON in one row, in bytes of UTF-8.

Escaped, the text may take twice as many bytes, which still fits the default packet size of MySQL and MariaDB.
"""

QUOTED_LENGTH = 40
"""How many characters of a value, a key or a path a message quotes; a message quotes at most two of them."""


class RefusedError(ValueError):
    """A value inside a JSON document that is refused; ``path`` is its place there, such as ``[2].score``."""

    path = ""


def refusal(place: str, refused: ValueError) -> SerializationError:
    """Return the error for a refused value, naming its place, such as ``traces.events[2].score``."""
    path = refused.path if isinstance(refused, RefusedError) else ""
    clipped = path if len(path) <= QUOTED_LENGTH else f"{path[: QUOTED_LENGTH - 1]}…"
    return SerializationError(f"{place}{clipped}: {refused}")


def check_str(value: Any) -> None:
    """Raise a ValueError unless ``value`` is a string that every database stores: no U+0000, no lone surrogate."""
    if type(value) is not str:
        raise ValueError(f"{describe(value)} is not a str")
    if "\0" in value:
        raise ValueError(f"U+0000 at character {value.index(chr(0))}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"a lone surrogate at character {error.start}") from None


def describe(value: Any) -> str:
    """Return the text of a short number, True, False or None, and only the type's name of anything else.

    A message must not contain the data that the caller wanted to store.
    """
    if type(value) is float:
        return {inf: "Infinity", -inf: "-Infinity"}.get(value, "NaN" if isnan(value) else repr(value))
    if type(value) is int:
        return str(value) if value.bit_length() < 120 else f"an integer of {value.bit_length()} bits"
    return str(value) if value is None or type(value) is bool else type(value).__name__[:QUOTED_LENGTH]


def utf8_size(text: str) -> int:
    """Return how many bytes a string takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
