"""What a call asks of a storage, checked and ready to carry out: one small class a verb."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from axon_storage.model.ids import new_id
from axon_storage.model.rows import CheckedRow, Recorded, Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One call: the public method it came from, and the tenant it is confined to."""

    operation: str
    tenant: str

    def on_nothing(self) -> T:
        """What a storage that keeps nothing answers."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing(Call[T]):
    """A call that writes rows it knows by their keys, and so may go together with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(Writing[None]):
    """Store rows of any types, in order, all or none."""

    rows: Sequence[CheckedRow]

    def on_nothing(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(Writing[UUID]):
    """Store one row under ``id``, or under a new one, unless that id is there already."""

    row: CheckedRow
    id: UUID | None

    def on_nothing(self) -> UUID:
        return self.id or new_id()


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Call[R | None], Generic[R]):
    """The row of a key, if it is there."""

    row_type: type[R]
    key: Mapping[str, Any]

    def on_nothing(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class InOrder(Call[list[R]], Generic[R]):
    """All rows whose key begins with ``prefix``, in key order."""

    row_type: type[R]
    prefix: Mapping[str, Any]

    def on_nothing(self) -> list[R]:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest(Call[list[R]], Generic[R]):
    """A page of the rows that match ``where``, newest first."""

    row_type: type[R]
    where: Mapping[str, Any]
    limit: int
    offset: int = 0

    def on_nothing(self) -> list[R]:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Call[list[Recorded[R]]], Generic[R]):
    """The ``limit`` rows that match ``where``, the oldest first, whose ids lie between ``after`` and ``before``."""

    row_type: type[R]
    where: Mapping[str, Any]
    after: UUID
    before: UUID
    limit: int

    def on_nothing(self) -> list[Recorded[R]]:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Writing[int]):
    """Delete the rows whose key is ``prefix`` and then one of ``last``; give how many went."""

    row_type: type[Row]
    prefix: Mapping[str, Any]
    last: Sequence[Any]

    def on_nothing(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict(Call[int]):
    """Delete the rows that have expired; give how many went."""

    row_type: type[Row]

    def on_nothing(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes(Call[list[str]]):
    """The distinct values of the first field of a key, in order."""

    row_type: type[Row]

    def on_nothing(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants(Call[list[str]]):
    """The tenants that have rows, in order: the one call that looks across tenants."""

    def on_nothing(self) -> list[str]:
        return []
