"""What can differ between databases: class attributes first, a few methods second; one subclass a database."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from ssl import SSLCertVerificationError, SSLContext
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Delete,
    Double,
    Executable,
    Index,
    Integer,
    Select,
    String,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
)
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

WRITTEN_ONCE = "axon_storage_written_once"
"""The mark in the ``info`` of a column that keeps what the first save wrote."""

_MESSAGE_LENGTH = 80

_APPLICATION_NAME = "axon_storage"

_TLS_REFUSED = "TLS cannot be had as the URL asks for it"
_ANSWERED_IN_PLAIN_TEXT = "WRONG_VERSION_NUMBER"


class ErrorClass(NamedTuple):
    """What a driver's error means: its code, a short text, and whether trying again may help."""

    code: str
    message: str
    connection: bool
    transient: bool


class Tls(NamedTuple):
    """TLS as a URL asked for it; without a context it asked for none, whatever the driver's default."""

    context: SSLContext | None
    required: bool


class UnsupportedServer(Exception):  # noqa: N818  # it never leaves the package: the executor makes a StorageConnectionError of it
    """A server or connection that cannot keep the contract and cannot be set to."""


class Dialect:
    """One database. The attributes and methods here are the whole seam to a further one."""

    title: ClassVar[str]
    """The database's name as people write it."""
    schemes: ClassVar[Mapping[str, str]]
    """URL schemes taken, each with the SQLAlchemy driver name it becomes."""
    extras: ClassVar[Mapping[str, str]] = {}
    """The extra of this package that installs each driver."""
    driver_modules: ClassVar[frozenset[str]]
    """Top-level modules whose exceptions are the driver's own."""

    empty_is_null: ClassVar[bool] = False
    """Whether the database takes ``''`` for NULL, so that strings must be stored escaped."""
    native_uuid: ClassVar[bool] = False
    """Whether ids are the database's own UUIDs; elsewhere they are 32 hexadecimal digits, which sort the same."""
    has_timestamps_with_time_zone: ClassVar[bool] = False
    """Whether moments are bound with their time zone; elsewhere as naive UTC."""
    serial_writes: ClassVar[bool] = False
    """Whether writers of one process take turns, because the database has one writer at a time."""
    deletes_lists: ClassVar[bool] = True
    """Whether a DELETE takes a list of keys and locks them in order; elsewhere it is run for each key in turn."""
    in_autocommit: ClassVar[bool] = False
    """Whether the driver is left in autocommit, and :meth:`begin` begins each transaction."""
    embedded: ClassVar[bool] = False
    """Whether opening a storage brings the schema up by itself, no deployment being there to do it."""

    upgrades_in_one_transaction: ClassVar[bool] = False
    """Whether the schema changes in one write transaction from the first look at it on, which keeps others out."""
    deployment_lock_apart: ClassVar[bool] = False
    """Whether the lock needs a connection of its own, since changes of the schema would end it, and cannot tell who."""
    online_index_outside: ClassVar[bool] = False
    """Whether an index is built online outside of any transaction."""
    has_axon_servers: ClassVar[bool] = False
    """Whether an AxonServer, whose tables can be adopted, keeps them in this database."""
    script_begins: ClassVar[str] = ""
    """What a script of migrations begins with, in the language of the client that runs it."""
    script_ends: ClassVar[str] = ""
    """The statement a script of migrations ends with."""

    transaction_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of every transaction."""
    write_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a transaction that writes, beside those."""
    autocommit_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a single statement that goes without a transaction, where that saves round trips."""

    session_isolation: ClassVar[str | None] = None
    """The isolation level of a session, where a transaction is not begun with one of its own."""

    connection_codes: ClassVar[frozenset[str]] = frozenset()
    """Error codes that speak of the connection or the server, not of the statement."""
    transient_codes: ClassVar[frozenset[str]] = frozenset()
    """Error codes after which the whole transaction may succeed when run again."""

    commit_outlives_cancellation: ClassVar[bool] = False
    """Whether the driver, cancelled in a COMMIT, closes its connection without waiting for the server to end it."""
    lock_timeout_codes: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say a lock was not free in time."""
    brief_lock_waits: ClassVar[Sequence[str]] = ()
    """Statements that make a session wait for a lock only briefly."""
    brief_lock_waits_local: ClassVar[Sequence[str]] = ()
    """Statements that do so for one transaction, where a pooler gives each transaction another session."""

    lost_race_codes: ClassVar[frozenset[str]] = frozenset()
    """Error codes after which a save's statement may be run again in its transaction, which is as it was before it."""

    missing_index_codes: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say that an index which :meth:`by_index` named does not exist."""

    # Column types.

    def identifier(self, length: int) -> TypeEngine[str]:
        """A string of at most ``length`` characters, compared by code point."""
        return String(length)

    def long_text(self) -> TypeEngine[str]:
        """A string of any length."""
        return Text()

    def json(self) -> TypeEngine[Any]:
        """JSON kept, and read, as the text it came as."""
        return self.long_text()

    def int32(self) -> TypeEngine[int]:
        """An integer of 32 bits with a sign."""
        return Integer()

    def int64(self) -> TypeEngine[int]:
        """An integer of 64 bits with a sign."""
        return BigInteger()

    def double(self) -> TypeEngine[float]:
        """A float of 64 bits."""
        return Double()

    def flag(self) -> TypeEngine[bool]:
        """True or False."""
        return Boolean(create_constraint=False)

    def timestamp(self) -> TypeEngine[Any]:
        """A UTC moment, exact to the microsecond."""
        return DateTime(timezone=self.has_timestamps_with_time_zone)

    def row_id(self) -> TypeEngine[Any]:
        """A UUID."""
        return Uuid(native_uuid=self.native_uuid)

    def normalised_type(self, kind: str) -> str:
        """A column's type as SQLAlchemy wrote it or read it back, in one spelling of the two."""
        return kind

    def expected_options(self, table: Table) -> Iterator[tuple[str, str]]:
        """Describe the options that a table must have, as (part, value) pairs that :meth:`extra_differences` finds."""
        del table
        yield from ()

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        """What is amiss with a table and SQLAlchemy does not read back, each as a place and what is there."""
        del connection, table
        yield from ()

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        """The settings of the server with which a commit that has returned may be lost, each in words."""
        del connection
        yield from ()

    # Statements; parameters are named as the columns.

    def upsert(self, table: Table) -> Executable:
        """Insert a row, or give the row of the same key the :func:`replaced` columns."""
        raise NotImplementedError

    def insert_once(self, table: Table) -> Executable:
        """Insert a row, or do nothing where the key is there already; any other refusal stays an error."""
        raise NotImplementedError

    def batch(self, save: Any, table: Table) -> Executable:
        """The statement that stores several rows, where ``save`` stores one."""
        del table
        return save  # type: ignore[no-any-return]  # what upsert and insert_once gave

    def batch_parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """What the batch's statement is given for several rows."""
        return rows

    def in_list(self, column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
        """Whether a column's value is one of the list that a parameter gives."""
        return column.in_(bindparam(parameter, expanding=True))

    def by_index(self, statement: Select[Any], table: Table, index: Index) -> Select[Any]:
        """Have a list read through the index made for it, where the planner may think otherwise."""
        del table, index
        return statement

    def delete(self, table: Table, *conditions: ColumnElement[bool]) -> Delete:
        """Delete the rows that meet the conditions, taking them in key order where that can be said."""
        return delete(table).where(*conditions)

    def locks_rows_first(self, *, contended: bool) -> bool:
        """Whether a group commit locks its rows before it writes them, since only that can be told not to wait.

        ``contended``: a transaction() of the same storage is open, or the batch has met a locked row.
        """
        del contended
        return False

    def lock_rows(self, connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        """Lock those rows that are there; fail at once where one is locked. ``keys``: sorted, as they are stored."""

    # Engines and connections.

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        """The URL and the driver's keyword arguments for a connection; ``timeout`` in seconds bounds connecting."""
        raise NotImplementedError

    def check_url(self, url: URL) -> None:
        """Raise :class:`UnsupportedServer` for a URL that cannot keep the contract."""

    def allows_autocommit(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the driver's arguments for connecting say that a statement may go without a transaction.

        Each must find the session of the one before, and one that is cancelled must end.
        """
        del arguments
        return True

    def tls_options(self, driver: Any) -> dict[str, Any]:
        """Further arguments for a connection that is to have TLS or not to be; ``driver`` is SQLAlchemy's adapter."""
        del driver
        return {}

    def on_connect(self, connection: DBAPIConnection) -> None:
        """Set what a new connection needs; raise :class:`UnsupportedServer` where that cannot be set."""

    def is_lost(self, connection: DBAPIConnection) -> bool:
        """Whether a connection is known, without a round trip, to have been closed by the server."""
        del connection
        return False

    def on_checkout(self, connection: DBAPIConnection) -> None:
        """Set, at each checkout, what the last user may have changed; without a round trip where nothing was."""

    def discard(self, connection: DBAPIConnection) -> None:
        """Let go of what a connection that is about to be given up may hold."""

    def begin(self, connection: Connection) -> None:
        """Begin a transaction, where the driver does not do it by itself."""

    def bind_types(self, types: dict[BindParameter[Any], Any], rows: Sequence[Mapping[str, Any]], driver: Any) -> None:
        """Change the driver's types of a statement's parameters in place, where the choice hangs on the values."""

    def executemany(self, cursor: Any, statement: str, parameters: Sequence[Any]) -> bool:
        """Run a batch in a better way than the driver's own; True where that was done."""
        del cursor, statement, parameters
        return False

    # Deployments.

    def acquire_schema_lock(self, connection: Connection) -> bool:
        """Try to take the lock that one deployer holds, until the connection is closed; never wait.

        True at once where the schema changes in one write transaction from the first look at it on.
        """
        del connection
        return True

    def record_schema_lock_holder(self, connection: Connection, who: str) -> None:
        """Leave word who holds the lock, on another connection than its own, where the database cannot tell."""

    def schema_lock_holder(self, connection: Connection) -> str:
        """Who holds the lock, in words."""
        raise NotImplementedError

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        """The statements that bound, for a session, the seconds it waits for a lock and those a statement takes."""
        raise NotImplementedError

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        """The statements that build an index while others write; ``there`` says that one of its name was found."""
        del name
        return [] if there else [create]

    def set_fillfactor(self, table: str, percent: int | None) -> list[str]:
        """The statements that set how full new pages of a table are filled; None is the database's default."""
        del table, percent
        return []

    # Errors.

    def code(self, error: BaseException) -> str:
        """The error's code, or an empty string."""
        raise NotImplementedError

    def classify_error(self, error: BaseException, *, invalidated: bool = False) -> ErrorClass:
        """Classify a driver's error by its code; ``invalidated`` says that the connection is known to be lost."""
        code = self.code(error)
        transient = invalidated or self._listed(code, self.transient_codes)
        connection = invalidated or self._listed(code, self.connection_codes)
        return ErrorClass(code, _short(error), connection, transient)

    def _listed(self, code: str, codes: frozenset[str]) -> bool:
        return code in codes

    def tls_refusal(self, error: BaseException | None) -> str | None:
        """Why connecting with TLS failed, where it would fail again; None where that is not known of the error."""
        seen: list[BaseException] = []
        while error is not None and error not in seen:
            reason = getattr(error, "reason", None)
            if self.says_no_tls(error) or reason == _ANSWERED_IN_PLAIN_TEXT:
                return f"{_TLS_REFUSED}: the server offers none"
            if isinstance(error, SSLCertVerificationError):
                return f"{_TLS_REFUSED}: {getattr(error, 'verify_message', reason)}"
            seen.append(error)
            error = error.__cause__
        return None

    def says_no_tls(self, error: BaseException) -> bool:
        """Whether a driver's error says that the server has no TLS."""
        del error
        return False

    def is_missing_index(self, error: BaseException) -> bool:
        """Whether an error says that an index which :meth:`by_index` named does not exist."""
        return self.code(self.driver_error(error)) in self.missing_index_codes

    def driver_error(self, error: BaseException) -> BaseException:
        """Return the driver's own error, without the wrappers of SQLAlchemy and of its asyncio adapter."""
        inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        seen: list[BaseException] = []  # an error of the host application may be its own cause
        while not self.is_driver_error(inner) and inner.__cause__ is not None and inner not in seen:
            seen.append(inner)
            inner = inner.__cause__
        return inner

    def is_driver_error(self, error: BaseException) -> bool:
        """Whether an exception is the driver's own."""
        return type(error).__module__.partition(".")[0] in self.driver_modules


def replaced(table: Table) -> list[str]:
    """The columns that a later save of the same key replaces."""
    return [column.name for column in table.c if not column.primary_key and WRITTEN_ONCE not in column.info]


def take_application_name(url: URL, parameter: str) -> tuple[URL, str]:
    """Take the name under which a server shows its connections out of a URL; without one it is this package's.

    It is ``application_name`` in every URL, or the driver's own ``parameter``.
    """
    names = ("application_name", parameter)
    given = [str(url.query[name]) for name in names if name in url.query]
    return url.difference_update_query(names), given[0] if given else _APPLICATION_NAME


def any_key(
    names: Sequence[str], keys: Sequence[tuple[Any, ...]], placeholder: Callable[[int], str]
) -> tuple[str, tuple[Any, ...]]:
    """Give a condition that holds for the rows of sorted keys, and its parameters, numbered from 1.

    As text: SQLAlchemy takes longer to expand long lists than a server takes to find the rows.
    """
    conditions: list[str] = []
    parameters: list[Any] = []
    for prefix, of_prefix in groupby(keys, key=itemgetter(slice(-1))):
        lasts = [key[-1] for key in of_prefix]
        first = len(parameters) + 1
        holders = [placeholder(first + number) for number in range(len(prefix) + len(lasts))]
        equal = [f"{name} = {holder}" for name, holder in zip(names, holders, strict=False)][: len(prefix)]
        conditions.append(f"({' AND '.join(equal)} AND {names[-1]} IN ({', '.join(holders[len(prefix) :])}))")
        parameters += [*prefix, *lasts]
    return " OR ".join(conditions), tuple(parameters)


def execute(connection: DBAPIConnection, statement: str) -> Any:
    """Run one statement on a bare connection and give its first row, if it has any."""
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()


def _short(error: BaseException) -> str:
    """The first line of a driver's message, without what stands in quotes beyond a word: it may be a bound value."""
    text = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], str) else str(error)
    line = text.strip().partition("\n")[0]
    line = re.sub(r"'[^']{20,}'?|\"[^\"]{40,}\"?|\([^()]{40,}\)?", "…", line)
    return line[:_MESSAGE_LENGTH] or type(error).__name__
