"""The JSON codec: encodes JSON values that every database can store exactly, and parses JSON from the caller."""

import json
from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from typing import Any, ClassVar, NoReturn

import orjson

from axon_storage.model.checks import MAX_ROW_BYTES, QUOTED_LENGTH, RefusedError, check_str, describe

MAX_JSON_DEPTH = 64
"""The maximum nesting depth of lists and dicts."""

_PLAIN = frozenset({int, bool, type(None)})
_ESCAPED_NUL = "\\u0000"


class JsonText(str):
    """JSON text that is already validated and encoded. The column type sends it unchanged."""

    __slots__ = ()


def encode_json(value: Any) -> JsonText:
    """Encode a JSON value as text; raise a ValueError that names an invalid part and the reason."""
    if _is_plain(value):
        with suppress(orjson.JSONEncodeError):  # the walk below finds the invalid part
            text = orjson.dumps(value).decode()
            if _ESCAPED_NUL not in text:
                return JsonText(text)
    _Walk().check(value, 0)
    return JsonText(orjson.dumps(value).decode())


def json_text(value: Any) -> JsonText:
    """Encode a value as JSON text; return a :class:`JsonText` unchanged."""
    return value if type(value) is JsonText else encode_json(value)


decode_json: Callable[[str], Any] = orjson.loads
"""Decodes JSON text that :func:`encode_json` returned."""


def parse_json(data: bytes | str) -> Any:
    """Parse JSON text exactly: integers of any length stay integers, and a repeated key is a ValueError.

    It uses the standard library's parser, because orjson reads integers beyond 64 bits as floats.
    """
    if not isinstance(data, (bytes, str)):
        raise ValueError(f"{describe(data)} is neither bytes nor str")
    try:
        text = data if isinstance(data, str) else data.decode()
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        refused = f"not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        refused = f"not JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        refused = f"more than {MAX_JSON_DEPTH} levels"
    raise ValueError(refused)  # after the handlers, because these errors contain the whole text


def _is_plain(value: Any) -> bool:
    """Return whether a value is JSON within the limits of size and depth.

    It does not check for keys that are not strings, U+0000, lone surrogates and long integers; the encoder and its
    caller do. This function runs for every saved value. It processes the value level by level, which takes a fraction
    of the time of :class:`_Walk`.
    """
    size, level = 0, [value]
    for left in range(MAX_JSON_DEPTH, -1, -1):
        deeper: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                size += len(item)
            elif kind is dict or kind is list:
                if not left or size + len(deeper) > MAX_ROW_BYTES:
                    return False
                if kind is dict:
                    size += _length_of_keys(item)
                deeper.extend(item.values() if kind is dict else item)
            elif kind is float:
                if not isfinite(item):
                    return False
            elif kind not in _PLAIN:
                return False
        size += len(level)
        if not deeper:
            break
        level = deeper
    return size <= MAX_ROW_BYTES


def _length_of_keys(value: dict[Any, Any]) -> int:
    try:
        return sum(map(len, value))
    except TypeError:  # a key is not a string: the encoder refuses it
        return MAX_ROW_BYTES


class _Walk:
    """Validates a JSON value recursively; the error contains the path of the invalid part.

    ``size``: a lower bound of the encoded size in bytes. It stops the walk early if the same list or dict occurs many
    times in the value, because the text is then much larger than the value.
    """

    def __init__(self) -> None:
        self.size = 0

    def check(self, value: Any, depth: int) -> None:
        check = self._checks.get(type(value))
        if check is None:
            raise RefusedError(f"{type(value).__name__[:QUOTED_LENGTH]} is not a JSON value")
        self.size += 1
        check(self, value, depth)
        if self.size > MAX_ROW_BYTES:
            raise RefusedError(f"more than {MAX_ROW_BYTES} bytes of text and JSON in one row")

    def _str(self, value: str, _depth: int) -> None:
        self.size += len(value)
        try:
            check_str(value)
        except ValueError as error:
            raise RefusedError(error) from None

    def _int(self, value: int, _depth: int) -> None:
        if not -(2**63) <= value < 2**64:
            raise RefusedError(f"{describe(value)} is outside JSON's integers (-2^63 to 2^64-1)")

    def _float(self, value: float, _depth: int) -> None:
        if not isfinite(value):
            raise RefusedError(f"{describe(value)} is not a JSON number")

    def _list(self, value: list[Any], depth: int) -> None:
        self._deeper(depth)
        for index, item in enumerate(value):
            try:
                self.check(item, depth + 1)
            except RefusedError as refused:
                refused.path = f"[{index}]{refused.path}"
                raise

    def _dict(self, value: dict[Any, Any], depth: int) -> None:
        self._deeper(depth)
        for key, item in value.items():
            try:
                self._key(key)
                self.check(item, depth + 1)
            except RefusedError as refused:
                refused.path = f"{_step(key)}{refused.path}"
                raise

    def _key(self, key: Any) -> None:
        if type(key) is not str:
            raise RefusedError(f"a key of type {type(key).__name__[:QUOTED_LENGTH]}, not str")
        self._str(key, 0)

    def _deeper(self, depth: int) -> None:
        if depth == MAX_JSON_DEPTH:
            raise RefusedError(f"more than {MAX_JSON_DEPTH} levels")

    def _nothing(self, value: Any, depth: int) -> None:
        """Accept null, True and False."""

    _checks: ClassVar[dict[type, Callable[["_Walk", Any, int], None]]] = {
        type(None): _nothing,
        bool: _nothing,
        int: _int,
        float: _float,
        str: _str,
        list: _list,
        dict: _dict,
    }


def _step(key: Any) -> str:
    if type(key) is not str:
        return ""
    return f".{key[:QUOTED_LENGTH]}" if key.isidentifier() else f"[{key[:QUOTED_LENGTH]!a}]"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result
