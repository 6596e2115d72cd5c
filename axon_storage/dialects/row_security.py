"""The base class for row-level security, with which the database itself keeps the tenants apart."""

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from sqlalchemy import Connection

from axon_storage.dialects.errors import DriverErrors


class RowSecuritySupport(DriverErrors):
    """Row-level security of a database. Only PostgreSQL has it."""

    has_row_security: ClassVar[bool] = False
    """Whether the database has row-level security, so that it can be asked with the methods of this class."""

    # What a connection does for its transactions.

    def binds_tenants(self, connection: Connection, tables: Sequence[str]) -> bool:
        """Return whether each transaction of this account must name its tenants."""
        raise NotImplementedError

    def begin_for_tenants(self, connection: Connection, tenants: Collection[str]) -> None:
        """Begin a transaction that may use the rows of these tenants."""
        raise NotImplementedError

    def set_tenants(self, connection: Connection, tenants: Collection[str]) -> None:
        """Change the tenants of a transaction."""
        raise NotImplementedError

    def commit_for_tenants(self, connection: Connection) -> None:
        """Commit a transaction of :meth:`begin_for_tenants`."""
        raise NotImplementedError

    def roll_back_for_tenants(self, connection: Connection) -> None:
        """Roll back a transaction of :meth:`begin_for_tenants`."""
        raise NotImplementedError

    def lacks_tenants(self, error: BaseException) -> bool:
        """Return whether a driver's error says that a transaction has not named its tenants."""
        del error
        return False

    # What the schema has.

    def secure(self, connection: Connection, table: str, maintenance: Sequence[str]) -> list[str]:
        """Return statements that secure a table. ``maintenance``: roles that see the rows of every tenant, quoted."""
        raise NotImplementedError

    def unsecure(self, connection: Connection, table: str) -> list[str]:
        """Return statements that undo :meth:`secure`."""
        raise NotImplementedError

    def is_secured(self, connection: Connection, tables: Sequence[str]) -> bool:
        """Return whether one of the tables is secured."""
        del connection, tables
        return False

    def maintenance_roles(self, connection: Connection, tables: Sequence[str]) -> list[str]:
        """Return the roles that see the rows of every tenant, quoted."""
        raise NotImplementedError

    def row_security_differences(self, connection: Connection, tables: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield (table, what is wrong) for each difference from what :meth:`secure` makes, if a table is secured."""
        del connection, tables
        yield from ()

    def unbound_because(self, connection: Connection) -> str:
        """Return the privilege with which this account is not bound by row-level security, or an empty string."""
        raise NotImplementedError
