"""The base class for tables whose rows are distributed over several servers, by tenant."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from sqlalchemy import Connection, Table
from sqlalchemy.engine.interfaces import DBAPIConnection


class Place(NamedTuple):
    """Where the rows of a tenant are. A transaction whose rows have the same ``shard`` needs no two-phase commit."""

    node: int
    shard: int


class Distribution(NamedTuple):
    """How the tables of a database are distributed.

    ``tables``: the names of the tables that are. ``shards``, ``nodes``: in how many parts, and on how many servers.
    """

    tables: Sequence[str]
    shards: int
    nodes: int

    def __str__(self) -> str:
        if not self.tables:
            return "no table is distributed"
        return f"{len(self.tables)} tables are distributed, in {self.shards} shards on {self.nodes} nodes"


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

    def distribution(self, connection: Connection, tables: Sequence[str]) -> Distribution | None:
        """Return which of the tables are distributed, and how; None if the server cannot distribute tables."""
        del connection, tables
        return None

    def check_migrates(self, connection: Connection) -> None:
        """Raise an :class:`UnsupportedServer` if the schema must be changed on another node."""

    def distribute(self, connection: Connection, tables: Sequence[str], shards: int | None) -> Iterator[str]:
        """Distribute tables that are not yet, colocated, outside of any transaction; yield the name of each when it is.

        ``shards``: the number of parts; None is the server's default. The last table is the one with the revision,
        which every node gets a copy of.
        """
        raise NotImplementedError

    def distribute_new_table(self, connection: Connection, table: str) -> None:
        """Distribute a table that a revision has created, if the others are distributed."""
