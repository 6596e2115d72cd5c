"""The field types, which define the values that a field of a row can have."""

from math import inf, isfinite
from typing import Annotated, Any

from axon_storage.model.checks import check_str, describe
from axon_storage.model.json import JsonText, encode_json


class Kind:
    """The base class of the field types."""

    counts: bool = False
    """Whether the value counts towards the limit for the text and JSON in one row."""

    def check(self, value: Any) -> Any:
        """Return the value in stored form; raise a ValueError with the reason if it is invalid."""
        raise NotImplementedError


class Integer(Kind):
    """An integer from ``low`` to ``high``. A bool and a float are refused."""

    def __init__(self, name: str, low: int, high: int) -> None:
        self.name, self.low, self.high = name, low, high

    def check(self, value: Any) -> int:
        if type(value) is not int:
            raise ValueError(f"{describe(value)} is not an integer")
        if not self.low <= value <= self.high:
            raise ValueError(f"{describe(value)} is outside {self.name} ({self.low} to {self.high})")
        return value


class Real(Kind):
    """A finite float. An int is converted if a float can hold it exactly. -0.0 becomes 0.0."""

    def check(self, value: Any) -> float:
        if type(value) is int:
            return self._from_int(value)
        if type(value) is not float:
            raise ValueError(f"{describe(value)} is not a float")
        if not isfinite(value):
            raise ValueError(f"{describe(value)} is not a finite float")
        return value + 0.0

    @staticmethod
    def _from_int(value: int) -> float:
        try:
            result = float(value)
        except OverflowError:
            result = inf
        if result != value:
            raise ValueError(f"{describe(value)} is not exact as a float")
        return result


class Boolean(Kind):
    """True or False. A number is refused."""

    def check(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError(f"{describe(value)} is not a bool")
        return value


class Identifier(Kind):
    """A string of ``low`` to ``high`` characters (code points)."""

    def __init__(self, high: int, low: int = 0) -> None:
        self.low, self.high = low, high

    def check(self, value: Any) -> str:
        check_str(value)
        if len(value) > self.high:
            raise ValueError(f"{len(value)} characters, at most {self.high}")
        if len(value) < self.low:
            raise ValueError(f"{len(value)} characters, at least {self.low}")
        return value  # type: ignore[no-any-return]  # check_str has checked it


class Unset(str):
    """The tenant of a row that was created without one. It is equal only to itself, and is never stored."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        return "UNSET"  # a copy is the same object


UNSET: str = Unset()
"""The default of ``tenant_id``: the row gets the tenant of the call that stores it."""


class Tenant(Identifier):
    """A tenant: a string of 1 to 64 characters."""

    def check(self, value: Any) -> str:
        if value is UNSET:
            raise ValueError("not set; only a call that stores the row fills it in")
        return super().check(value)


class Text(Kind):
    """A string, limited only by the size of its row."""

    counts = True

    def check(self, value: Any) -> str:
        check_str(value)
        return value  # type: ignore[no-any-return]  # check_str has checked it


class Json(Kind):
    """A JSON value. ``check`` returns it as text."""

    counts = True

    def check(self, value: Any) -> JsonText:
        return encode_json(value)


class Nullable(Kind):
    """None, or a value that ``kind`` allows."""

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
TENANT = Tenant(64, low=1)
TenantId = Annotated[str, TENANT]
LongText = Annotated[str, Text()]
JsonValue = Annotated[Any, Json()]
