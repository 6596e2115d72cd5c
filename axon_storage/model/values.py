"""The portable value domain: what a field may hold on every database alike, and the JSON codec."""

import json
from collections.abc import Callable
from contextlib import suppress
from math import inf, isfinite, isnan
from typing import Annotated, Any, ClassVar, NoReturn

import orjson

from axon_storage.errors import SerializationError

MAX_ROW_BYTES = 7 * 2**20
"""UTF-8 bytes of all text and JSON in one row: twice that, escaped, fits the default packet of MySQL and MariaDB."""

MAX_JSON_DEPTH = 64
"""How many lists and dicts may be nested in one another."""

_PLAIN = frozenset({int, bool, type(None)})
_ESCAPED_NUL = "\\u0000"

_QUOTED = 40  # a message quotes one value and one path: together at most 80 characters


class JsonText(str):
    """JSON already checked and encoded, so that it is encoded once on its way to the column."""

    __slots__ = ()


class Kind:
    """What a field may hold; ``check`` gives the value to store or raises a :class:`ValueError` saying why not."""

    counts: bool = False
    """Whether the value's bytes count against :data:`MAX_ROW_BYTES`."""

    def check(self, value: Any) -> Any:
        """Give the value to store."""
        raise NotImplementedError


class Integer(Kind):
    """An integer from ``low`` to ``high``; bool and float are refused."""

    def __init__(self, name: str, low: int, high: int) -> None:
        self.name, self.low, self.high = name, low, high

    def check(self, value: Any) -> int:
        if type(value) is not int:
            raise ValueError(f"{_described(value)} is not an integer")
        if not self.low <= value <= self.high:
            raise ValueError(f"{_described(value)} is outside {self.name} ({self.low} to {self.high})")
        return value


class Real(Kind):
    """A finite float; an int that a float holds exactly is taken as one, and -0.0 becomes 0.0."""

    def check(self, value: Any) -> float:
        if type(value) is int:
            return self._from_int(value)
        if type(value) is not float:
            raise ValueError(f"{_described(value)} is not a float")
        if not isfinite(value):
            raise ValueError(f"{_described(value)} is not a finite float")
        return value + 0.0

    @staticmethod
    def _from_int(value: int) -> float:
        try:
            result = float(value)
        except OverflowError:
            result = inf
        if result != value:
            raise ValueError(f"{_described(value)} is not exact as a float")
        return result


class Boolean(Kind):
    """True or False, and no number in their place."""

    def check(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError(f"{_described(value)} is not a bool")
        return value


class Identifier(Kind):
    """A string of ``low`` to ``high`` characters (code points)."""

    def __init__(self, high: int, low: int = 0) -> None:
        self.low, self.high = low, high

    def check(self, value: Any) -> str:
        _check_str(value)
        if len(value) > self.high:
            raise ValueError(f"{len(value)} characters, at most {self.high}")
        if len(value) < self.low:
            raise ValueError(f"{len(value)} characters, at least {self.low}")
        return value  # type: ignore[no-any-return]  # _check_str made sure


class Text(Kind):
    """A string of any length that the row's size allows."""

    counts = True

    def check(self, value: Any) -> str:
        _check_str(value)
        return value  # type: ignore[no-any-return]  # _check_str made sure


class Json(Kind):
    """A JSON value; ``check`` gives its text."""

    counts = True

    def check(self, value: Any) -> JsonText:
        return encode_json(value)


class Nullable(Kind):
    """None, or what ``kind`` allows."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.counts = kind.counts

    def check(self, value: Any) -> Any:
        return None if value is None else self.kind.check(value)


U32 = Annotated[int, Integer("u32", 0, 2**32 - 1)]
U64 = Annotated[int, Integer("u64", 0, 2**64 - 1)]
I32 = Annotated[int, Integer("i32", -(2**31), 2**31 - 1)]
F64 = Annotated[float, Real()]
Flag = Annotated[bool, Boolean()]
Name = Annotated[str, Identifier(255)]
Path = Annotated[str, Identifier(900)]
TENANT = Identifier(64, low=1)
TenantId = Annotated[str, TENANT]
LongText = Annotated[str, Text()]
JsonValue = Annotated[Any, Json()]


def refusal(place: str, refused: ValueError) -> SerializationError:
    """The error for a refused value, naming its place, such as ``traces.events[2].score``."""
    path = refused.path if isinstance(refused, _RefusedError) else ""
    return SerializationError(f"{place}{_clip(path)}: {refused}")


def encode_json(value: Any) -> JsonText:
    """Give the JSON text of a value of the domain; a ValueError says what is outside it, and where."""
    if _is_plain(value):
        with suppress(orjson.JSONEncodeError):  # the walk tells what and where
            text = orjson.dumps(value).decode()
            if _ESCAPED_NUL not in text:
                return JsonText(text)
    _Walk().check(value, 0)
    return JsonText(orjson.dumps(value).decode())


def json_text(value: Any) -> JsonText:
    """Give the JSON text of a value, or the text itself where that was made already."""
    return value if type(value) is JsonText else encode_json(value)


decode_json: Callable[[str], Any] = orjson.loads
"""Gives the value of a JSON text that :func:`encode_json` made."""


def parse_json(data: bytes | str) -> Any:
    """Parse JSON from outside exactly: integers of any length stay integers, a repeated key is a ValueError.

    The standard library's parser, because orjson reads integers beyond 64 bits as floats.
    """
    if not isinstance(data, (bytes, str)):
        raise ValueError(f"{_described(data)} is neither bytes nor str")
    try:
        text = data if isinstance(data, str) else data.decode()
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError(f"more than {MAX_JSON_DEPTH} levels") from None


def utf8_size(text: str) -> int:
    """How many bytes a string takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


class _RefusedError(ValueError):
    """A refusal inside a JSON value; ``path`` leads there, such as ``[2].score``."""

    path = ""


def _is_plain(value: Any) -> bool:
    """Whether a value is JSON of bounded size and depth, but for what the encoder refuses by itself, and U+0000.

    Level by level, since each value passes here, and the walk that knows every place takes several times as long.
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
    except TypeError:  # a key that is no string, which the encoder refuses
        return MAX_ROW_BYTES


class _Walk:
    """One pass over a JSON value; ``size``, a lower bound of its text's bytes, keeps shared parts from exploding."""

    def __init__(self) -> None:
        self.size = 0

    def check(self, value: Any, depth: int) -> None:
        check = self._checks.get(type(value))
        if check is None:
            raise _RefusedError(f"{type(value).__name__[:_QUOTED]} is not a JSON value")
        self.size += 1
        check(self, value, depth)
        if self.size > MAX_ROW_BYTES:
            raise _RefusedError(f"more than {MAX_ROW_BYTES} bytes of text and JSON in one row")

    def _str(self, value: str, _depth: int) -> None:
        self.size += len(value)
        try:
            _check_str(value)
        except ValueError as error:
            raise _RefusedError(error) from None

    def _int(self, value: int, _depth: int) -> None:
        if not -(2**63) <= value < 2**64:
            raise _RefusedError(f"{_described(value)} is outside JSON's integers (-2^63 to 2^64-1)")

    def _float(self, value: float, _depth: int) -> None:
        if not isfinite(value):
            raise _RefusedError(f"{_described(value)} is not a JSON number")

    def _list(self, value: list[Any], depth: int) -> None:
        self._deeper(depth)
        for index, item in enumerate(value):
            try:
                self.check(item, depth + 1)
            except _RefusedError as refused:
                refused.path = f"[{index}]{refused.path}"
                raise

    def _dict(self, value: dict[Any, Any], depth: int) -> None:
        self._deeper(depth)
        for key, item in value.items():
            try:
                self._key(key)
                self.check(item, depth + 1)
            except _RefusedError as refused:
                refused.path = f"{_step(key)}{refused.path}"
                raise

    def _key(self, key: Any) -> None:
        if type(key) is not str:
            raise _RefusedError(f"a key of type {type(key).__name__[:_QUOTED]}, not str")
        self._str(key, 0)

    def _deeper(self, depth: int) -> None:
        if depth == MAX_JSON_DEPTH:
            raise _RefusedError(f"more than {MAX_JSON_DEPTH} levels")

    def _nothing(self, value: Any, depth: int) -> None:
        """Null and bool are always JSON."""

    _checks: ClassVar[dict[type, Callable[["_Walk", Any, int], None]]] = {
        type(None): _nothing,
        bool: _nothing,
        int: _int,
        float: _float,
        str: _str,
        list: _list,
        dict: _dict,
    }


def _check_str(value: Any) -> None:
    if type(value) is not str:
        raise ValueError(f"{_described(value)} is not a str")
    if "\0" in value:
        raise ValueError(f"U+0000 at character {value.index(chr(0))}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"a lone surrogate at character {error.start}") from None


def _described(value: Any) -> str:
    """A number as it is if short, else only its type: a message must not carry what the caller wanted stored."""
    if type(value) is float:
        return {inf: "Infinity", -inf: "-Infinity"}.get(value, "NaN" if isnan(value) else repr(value))
    if type(value) is int:
        return str(value) if value.bit_length() < 120 else f"an integer of {value.bit_length()} bits"
    return str(value) if value is None or type(value) is bool else type(value).__name__[:_QUOTED]


def _step(key: Any) -> str:
    if type(key) is not str:
        return ""
    return f".{key[:_QUOTED]}" if key.isidentifier() else f"[{key[:_QUOTED]!a}]"


def _clip(path: str) -> str:
    return path if len(path) <= _QUOTED else f"{path[: _QUOTED - 1]}…"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result
