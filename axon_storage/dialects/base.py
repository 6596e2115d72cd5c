"""The base class of the dialects: everything in which the supported databases differ."""

from collections.abc import Mapping, Sequence
from ssl import SSLContext
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Delete,
    Double,
    Executable,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
)
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.types import TypeEngine

from axon_storage.dialects.backup import BackupSupport
from axon_storage.dialects.diagnosis import ServerDiagnosis
from axon_storage.dialects.distribution import DistributionSupport
from axon_storage.dialects.driver_calls import DriverCalls
from axon_storage.dialects.grants import GrantSupport
from axon_storage.dialects.hosts import HostSupport
from axon_storage.dialects.identity import DatabaseIdentity
from axon_storage.dialects.inspection import ServerInspection
from axon_storage.dialects.migration import MigrationSupport
from axon_storage.dialects.queries import QuerySupport
from axon_storage.dialects.row_security import RowSecuritySupport
from axon_storage.dialects.session_limits import SessionLimits
from axon_storage.dialects.versions import ServerVersions


class Tls(NamedTuple):
    """The TLS settings of a URL. Without a context TLS is not used, whatever the driver's default is."""

    context: SSLContext | None
    required: bool


class UnsupportedServer(Exception):  # noqa: N818  # internal: it becomes a StorageConnectionError
    """A server, a URL or a connection with which this package cannot keep its guarantees."""


class Dialect(
    QuerySupport,
    MigrationSupport,
    ServerInspection,
    ServerDiagnosis,
    BackupSupport,
    GrantSupport,
    RowSecuritySupport,
    DriverCalls,
    SessionLimits,
    DistributionSupport,
    HostSupport,
    ServerVersions,
    DatabaseIdentity,
):
    """One database. A subclass sets attributes and overrides methods; a new database needs nothing else.

    Its parts are base classes, whose docstrings say what they are for.
    """

    # Names and URLs.

    title: ClassVar[str]
    """The database's name in messages."""
    schemes: ClassVar[Mapping[str, str]]
    """The URL schemes of the database, each with the SQLAlchemy scheme that it becomes."""
    scheme_aliases: ClassVar[Mapping[str, str]] = {}
    """Schemes that SQLAlchemy does not know, each with the one that it does."""
    extras: ClassVar[Mapping[str, str]] = {}
    """The extra of this package that installs each driver."""
    embedded: ClassVar[bool] = False
    """Whether opening a storage upgrades the schema by default, because no deployment step does."""

    # Column types.

    empty_is_null: ClassVar[bool] = False
    """Whether the database stores ``''`` as NULL, so that strings are stored escaped (:meth:`escape_string`)."""
    native_uuid: ClassVar[bool] = False
    """Whether ids have the database's own UUID type; elsewhere they are 32 hexadecimal digits, in the same order."""
    has_timestamps_with_time_zone: ClassVar[bool] = False
    """Whether timestamps are sent with their time zone; elsewhere they are sent as naive UTC."""

    def identifier(self, length: int) -> TypeEngine[str]:
        """Return the type of a string of at most ``length`` characters, compared by code point."""
        return String(length)

    def long_text(self) -> TypeEngine[str]:
        """Return the type of a string of any length."""
        return Text()

    def json(self) -> TypeEngine[Any]:
        """Return the type of a JSON document, which is read back as the same text."""
        return self.long_text()

    def int32(self) -> TypeEngine[int]:
        """Return the type of a signed 32-bit integer."""
        return Integer()

    def int64(self) -> TypeEngine[int]:
        """Return the type of a signed 64-bit integer."""
        return BigInteger()

    def double(self) -> TypeEngine[float]:
        """Return the type of a 64-bit float."""
        return Double()

    def flag(self) -> TypeEngine[bool]:
        """Return the type of True or False."""
        return Boolean(create_constraint=False)

    def timestamp(self) -> TypeEngine[Any]:
        """Return the type of a UTC timestamp with microseconds."""
        return DateTime(timezone=self.has_timestamps_with_time_zone)

    def row_id(self) -> TypeEngine[Any]:
        """Return the type of a UUID."""
        return Uuid(native_uuid=self.native_uuid)

    def escape_string(self, value: str) -> str:
        """Return a string as it is stored. With ``empty_is_null`` it is never empty; the order of strings is kept."""
        return value

    def unescape_string(self, value: str) -> str:
        """Undo :meth:`escape_string`."""
        return value

    def normalised_type(self, kind: str) -> str:
        """Return the same text for a column type as SQLAlchemy writes it and as SQLAlchemy reflects it."""
        return kind

    def stored_size(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        """Return the length of a text or JSON column, in bytes or characters, whichever the database finds faster."""
        return func.length(column)

    # Statements. Their parameters have the names of the columns.

    deletes_lists: ClassVar[bool] = True
    """Whether one DELETE takes a list of keys and locks them in order; otherwise each key has its own DELETE."""

    def upsert(self, table: Table) -> Executable:
        """Return a statement that inserts a row, or replaces the :func:`replaced` columns of the row with its key."""
        raise NotImplementedError

    def insert_once(self, table: Table) -> Executable:
        """Return a statement that inserts a row unless its key exists. Any other conflict remains an error.

        If the key exists, the statement changes 0 rows or raises an error for which :meth:`is_existing_key` is true,
        and the transaction can continue.
        """
        raise NotImplementedError

    def create(self, table: Table) -> Executable:
        """Return a statement as :meth:`insert_once` does, but one that says in either way whether the key exists."""
        return self.insert_once(table)

    def is_existing_key(self, error: BaseException) -> bool:
        """Return whether a driver's error says that the key of a :meth:`create` or :meth:`insert_once` exists."""
        del error
        return False

    def batch(self, save: Any, table: Table) -> Executable:
        """Return a statement that stores several rows; ``save`` stores one."""
        del table
        return save  # type: ignore[no-any-return]  # what upsert and insert_once returned

    def batch_parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return the parameters with which the statement of :meth:`batch` stores the rows."""
        return rows

    def is_one_statement(self, parameters: Any) -> bool:
        """Return whether a save with these parameters, of one row or of :meth:`batch_parameters`, is one statement."""
        return not isinstance(parameters, list)

    def in_list(self, column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
        """Return the condition that a column's value is in the list that a parameter contains."""
        return column.in_(bindparam(parameter, expanding=True))

    def in_keys(self, columns: Sequence[Column[Any]]) -> ColumnElement[bool]:
        """Return the condition that the values of columns are one of the keys in :meth:`key_parameters`."""
        return and_(*[column == bindparam(column.name) for column in columns])

    def key_parameters(self, names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Return the parameters of :meth:`in_keys` for columns with these names: of one execution, or of a batch."""
        return [dict(zip(names, key, strict=True)) for key in keys]

    def by_index(self, statement: Select[Any], table: Table, index: Index | PrimaryKeyConstraint) -> Select[Any]:
        """Return a SELECT that uses the index or the primary key, if the planner might choose a worse plan."""
        del table, index
        return statement

    def delete(self, table: Table, *conditions: ColumnElement[bool]) -> Delete:
        """Return a DELETE of the rows that meet the conditions; it locks them in key order if possible."""
        return delete(table).where(*conditions)

    def locks_rows_first(self, *, contended: bool) -> bool:
        """Return whether a group commit first locks its rows with a separate statement, which does not wait.

        ``contended``: a transaction() of the same storage is open, or the batch has met a locked row before.
        """
        del contended
        return False

    def lock_rows(self, connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        """Lock the existing rows with the given sorted keys; fail at once if one is locked."""

    def bind_types(self, types: dict[BindParameter[Any], Any], rows: Sequence[Mapping[str, Any]], driver: Any) -> None:
        """Change the driver's types of a statement's parameters in place, if they depend on the values."""

    def executemany(self, cursor: Any, statement: str, parameters: Sequence[Any]) -> bool:
        """Run a batch faster than the driver does, and return True; return False to leave it to the driver."""
        del cursor, statement, parameters
        return False

    # Engines and connections.

    serial_writes: ClassVar[bool] = False
    """Whether the writers of one process take turns, because the database has one writer at a time."""
    session_isolation: ClassVar[str | None] = None
    """The isolation level that :meth:`on_connect` sets for the session; None if each transaction sets its own."""
    refused_engine_options: ClassVar[frozenset[str]] = frozenset({"isolation_level"})
    """Execution options that the engine of a host application must not set."""

    def check_url(self, url: URL) -> None:
        """Raise :class:`UnsupportedServer` for a URL that cannot be used."""

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        """Return the URL and the driver's keyword arguments for connecting within ``timeout`` seconds."""
        raise NotImplementedError

    def tls_options(self, driver: Any) -> dict[str, Any]:
        """Return further arguments for a connection that must have TLS. ``driver`` is SQLAlchemy's DBAPI adapter."""
        del driver
        return {}

    def first_statements(self, url: URL) -> Sequence[str]:
        """Return the statements that a new session runs before SQLAlchemy's own first statements."""
        del url
        return ()

    def on_connect(self, connection: DBAPIConnection) -> None:
        """Configure a new connection; raise :class:`UnsupportedServer` if the server cannot be used."""

    def on_checkout(self, connection: DBAPIConnection) -> None:
        """Restore settings that the last user of a connection may have changed; send nothing if none changed."""

    def is_lost(self, connection: DBAPIConnection) -> bool:
        """Return whether the server is known to have closed a connection; send nothing."""
        del connection
        return False

    def discard(self, connection: DBAPIConnection) -> None:
        """Roll back on a connection that is about to be closed, if closing it does not roll back."""

    # Transactions.

    in_autocommit: ClassVar[bool] = False
    """Whether the driver stays in autocommit mode, and :meth:`begin` begins each transaction."""
    transaction_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of every transaction."""
    write_options: ClassVar[Mapping[str, Any]] = {}
    """Further execution options of a transaction that writes."""
    autocommit_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a single statement without a transaction; empty if that saves no round trip."""
    commit_outlives_cancellation: ClassVar[bool] = False
    """Whether the server may still commit after a COMMIT was cancelled and its connection closed."""

    def begin(self, connection: Connection) -> None:
        """Begin a transaction, if the driver does not begin it by itself."""

    def allows_autocommit(self, arguments: Mapping[str, Any]) -> bool:
        """Return whether a statement may run without a transaction, given the driver's arguments for connecting.

        It may if all statements run in one session, and a cancelled statement ends.
        """
        del arguments
        return True
