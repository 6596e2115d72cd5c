"""The base class for tables whose rows are distributed over several servers, by tenant."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from sqlalchemy import Connection, Table
from sqlalchemy.engine.interfaces import DBAPIConnection


class Place(NamedTuple):
    """Where the rows of a tenant are. A transaction whose rows have the same ``shard`` needs no two-phase commit."""

    node: int
    shard: int


class DistributionSupport:
    """Distributed tables. Only PostgreSQL with the extension Citus has them."""

    has_places: ClassVar[bool] = False
    """Whether the rows of different tenants may be on different servers, so that :meth:`place` is asked."""

    def recognizes(self, connection: DBAPIConnection) -> bool:
        """Return whether a new connection leads to a server of this dialect, which is a variant of another one."""
        del connection
        return False

    def place(self, connection: Connection, tenant: str) -> Place | None:
        """Return where the rows of a tenant are; None if that is not known."""
        raise NotImplementedError

    def first_tenants(
        self, connection: Connection, tables: Sequence[Table], limit: int, above: str | None
    ) -> Sequence[tuple[int, str]]:
        """Return the number of each part of the tables, with each of its first ``limit`` tenants above a tenant.

        The cost depends on the number of tenants and of parts, not on that of rows. Only if ``has_places``.
        """
        raise NotImplementedError
