"""The base class for what a migration needs of a database: the schema lock, timeouts, online changes, comparison."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sqlalchemy import Connection, Table

from axon_storage.dialects.errors import DriverErrors


class MigrationSupport(DriverErrors):
    """What migrations need of a database. A subclass overrides what differs."""

    table_options: ClassVar[Mapping[str, Any]] = {}
    """Keyword arguments of :class:`sqlalchemy.Table` for every table; each begins with SQLAlchemy's dialect name."""
    has_axon_servers: ClassVar[bool] = False
    """Whether an AxonServer, whose tables can be adopted, may use this database."""
    upgrades_in_one_transaction: ClassVar[bool] = False
    """Whether an upgrade is one write transaction, so that no other process can upgrade at the same time."""
    schema_lock_has_own_connection: ClassVar[bool] = False
    """Whether the schema lock has its own connection, because DDL would release it, and its holder is stored."""
    online_index_outside: ClassVar[bool] = False
    """Whether an index must be built online outside of any transaction."""
    script_begins: ClassVar[str] = ""
    """The first lines of a migration script, in the language of the client that runs it."""
    script_ends: ClassVar[str] = ""
    """The last statement of a migration script."""

    def expected_options(self, table: Table) -> Iterator[tuple[str, str]]:
        """Yield the options that a table must have, as (place, value) pairs like those of :meth:`extra_differences`."""
        del table
        yield from ()

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        """Yield options and differences of a table that reflection does not report, as (place, found) pairs."""
        del connection, table
        yield from ()

    def acquire_schema_lock(self, connection: Connection) -> bool:
        """Try to take the schema lock until the connection closes; return whether it was free or is not needed."""
        del connection
        return True

    def record_schema_lock_holder(self, connection: Connection, who: str) -> None:
        """Store who holds the schema lock, if ``schema_lock_has_own_connection``; this connection does not hold it."""

    def schema_lock_holder(self, connection: Connection) -> str:
        """Return a description of the holder of the schema lock."""
        raise NotImplementedError

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        """Return statements that limit a session's lock waits and statements; both limits are in seconds."""
        raise NotImplementedError

    def set_fillfactor(self, table: str, percent: int | None) -> list[str]:
        """Return statements that set how full the new pages of a table become; None resets it."""
        del table, percent
        return []

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        """Return statements that build an index without blocking writes. ``there``: an index of this name exists."""
        del name
        return [] if there else [create]
