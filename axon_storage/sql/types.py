"""The column types, which convert between field values and column values.

Migrations import these classes. Do not change a class after its release; add a new class instead.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, DateTime, Double, Integer, String, Text, Uuid
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from axon_storage.dialects import dialect_of
from axon_storage.errors import SerializationError
from axon_storage.model.json import decode_json, json_text

_Processor = Callable[[Any], Any] | None


class _Column(TypeDecorator[Any]):
    """The base class of the column types. The dialect chooses the database's type."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.cache_ok = True  # SQLAlchemy requires it on each class

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class UInt64(_Column):
    """0 to 2^64-1, stored in a signed 64-bit integer: values above 2^63-1 become negative (two's complement)."""

    impl = BigInteger

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).int64()

    def bind_processor(self, dialect: Dialect) -> _Processor:
        del dialect
        return _signed

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        del dialect, coltype
        return _unsigned


class UInt32(_Column):
    """0 to 2^32-1 in a signed 64-bit integer."""

    impl = BigInteger

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).int64()


class Int32(_Column):
    """-2^31 to 2^31-1."""

    impl = Integer

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).int32()


class Float64(_Column):
    """A finite 64-bit float."""

    impl = Double

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).double()

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        del dialect, coltype  # every driver returns a float
        return None


class Flag(_Column):
    """True or False."""

    impl = Boolean

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).flag()

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        del dialect, coltype
        return bool


class _String(_Column):
    """A string. It is escaped on databases that store an empty string as NULL."""

    def bind_processor(self, dialect: Dialect) -> _Processor:
        ours = dialect_of(dialect)
        return _chain(ours.escape_string) if ours.empty_is_null else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        ours, inner = dialect_of(dialect), super().result_processor(dialect, coltype)
        return _chain(inner, ours.unescape_string) if ours.empty_is_null else inner


class Identifier(_String):
    """A string of at most ``length`` characters, compared and sorted by code point."""

    impl = String

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).identifier(self.length)

    def __repr__(self) -> str:
        return f"Identifier({self.length})"


class LongText(_String):
    """A string of any length, never compared."""

    impl = Text

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).long_text()


class JsonDocument(_Column):
    """A JSON value, stored as text. None is stored as JSON null, never as SQL NULL."""

    impl = Text

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).json()

    def bind_processor(self, dialect: Dialect) -> _Processor:
        del dialect
        return json_text

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        inner = self.impl_instance.result_processor(dialect, coltype)
        # Without _chain, because the column is NOT NULL, and calling the C function without a wrapper is faster.
        return decode_json if inner is None else _chain(inner, decode_json)


class JsonAsText(JsonDocument):
    """A JSON document as its stored text, which is neither decoded nor encoded."""

    def bind_processor(self, dialect: Dialect) -> _Processor:
        del dialect
        return None

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        return self.impl_instance.result_processor(dialect, coltype)


class UtcTimestamp(_Column):
    """A UTC timestamp with microseconds. Parameters and results are aware datetimes."""

    impl = DateTime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).timestamp()

    def bind_processor(self, dialect: Dialect) -> _Processor:
        inner = super().bind_processor(dialect)
        return inner if dialect_of(dialect).has_timestamps_with_time_zone else _chain(_naive, inner)

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        return _chain(super().result_processor(dialect, coltype), _aware)


class RowId(_Column):
    """A UUID whose stored order is the order of its bits."""

    impl = Uuid

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect_of(dialect).row_id()

    def bind_processor(self, dialect: Dialect) -> _Processor:
        return super().bind_processor(dialect) if dialect_of(dialect).native_uuid else _chain(_hex)

    def result_processor(self, dialect: Dialect, coltype: Any) -> _Processor:
        return super().result_processor(dialect, coltype) if dialect_of(dialect).native_uuid else _chain(UUID)


def unreadable(table: str) -> SerializationError:
    """Return the error for a value that cannot be decoded. It must not have the decoder's, which has the value."""
    return SerializationError(f"{table}: a stored value cannot be read")


def _chain(*steps: _Processor) -> _Processor:
    """Return a function that applies the steps in order. It returns None for None."""
    first, *rest = [step for step in steps if step is not None]

    def convert(value: Any) -> Any:
        if value is None:
            return None
        value = first(value)
        for step in rest:
            value = step(value)
        return value

    return convert


def _signed(value: int | None) -> int | None:
    return value if value is None or value < 2**63 else value - 2**64


def _unsigned(value: int | None) -> int | None:
    return value if value is None or value >= 0 else value + 2**64


def _naive(timestamp: datetime) -> datetime:
    return timestamp.astimezone(UTC).replace(tzinfo=None)


def _aware(timestamp: datetime) -> datetime:
    return timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp.astimezone(UTC)


def _hex(row_id: UUID) -> str:
    return row_id.hex
