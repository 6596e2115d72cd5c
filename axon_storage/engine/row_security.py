"""RowSecurity: names the tenants of each transaction to a database that keeps the tenants apart itself."""

from collections.abc import Callable, Collection
from contextlib import suppress
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.engine import Engine

from axon_storage.dialects import Dialect
from axon_storage.engine.events import allows_autocommit
from axon_storage.errors import QueryError
from axon_storage.sql.tables import metadata

_TENANTS = "axon_storage_tenants"  # a key of a connection's info: the tenants of its open transaction

_EVERY_TENANT = (
    "it reads the rows of every tenant, and row-level security shows this account those of the tenants that a call"
    " names: name a tenant, or use the account of `axon-storage migrate secure --maintenance`"
)

_by_engine: "WeakKeyDictionary[Engine, RowSecurity]" = WeakKeyDictionary()


class EveryTenantError(QueryError):
    """A call needs the rows of every tenant, and the account sees only those that it names. A QueryError to callers."""


class RowSecurity:
    """Begins and ends the transactions of an account that is bound to the tenants that it names.

    SQLAlchemy's connection is in autocommit mode meanwhile, because SQLAlchemy would send BEGIN as a separate message.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._binds: bool | None = None if dialect.has_row_security else False

    @property
    def binds(self) -> bool:
        """Whether the account sees only the rows of the tenants that it names. Known after the first connection."""
        return bool(self._binds)

    @property
    def may_bind(self) -> bool:
        """Whether the account sees only the rows of the tenants that it names, or this is not known."""
        return self._binds is not False

    def names_tenants(self, connection: Connection, tenants: Collection[str] | None) -> bool:
        """Return whether a transaction that uses the rows of these tenants must name them.

        Raise an EveryTenantError if it uses those of every tenant (None), and must not.
        """
        if self._binds is None:
            self._binds = self._read(connection)
        if not self._binds:
            return False
        return len(self.check(tenants)) > 0

    @staticmethod
    def check(tenants: Collection[str] | None) -> Collection[str]:
        """Return the tenants; raise a QueryError for every tenant (None)."""
        if tenants is None:
            raise EveryTenantError(_EVERY_TENANT)
        return tenants

    def prepare(self, connection: Connection) -> None:
        """Prepare a connection for :meth:`use`."""
        connection.info.pop(_TENANTS, None)
        connection.execution_options(**self._dialect.autocommit_options)
        connection.begin()

    def use(self, connection: Connection, tenants: Collection[str]) -> None:
        """Begin the transaction for these tenants, or change the tenants of the open one."""
        found = connection.info.get(_TENANTS)
        if found == tenants:
            return
        connection.info[_TENANTS] = tenants  # before BEGIN is sent, so that a failure is followed by a ROLLBACK
        send = self._dialect.begin_for_tenants if found is None else self._dialect.set_tenants
        _send(connection, lambda: send(connection, tenants))

    def commit(self, connection: Connection) -> None:
        """Commit the transaction, if :meth:`use` has begun one."""
        if self._dialect.has_row_security and _TENANTS in connection.info:
            _send(connection, lambda: self._dialect.commit_for_tenants(connection))
            del connection.info[_TENANTS]

    def roll_back(self, connection: Connection, cause: BaseException) -> None:
        """Roll back the transaction, if :meth:`use` has begun one; close the connection if that is not possible.

        ``cause``: the driver's error, as for :meth:`learn`.
        """
        if not self._dialect.has_row_security:
            return
        self.learn(cause)
        if connection.invalidated or _TENANTS not in connection.info:
            return
        try:
            _send(connection, lambda: self._dialect.roll_back_for_tenants(connection))
            del connection.info[_TENANTS]
        except Exception:
            connection.invalidate()

    def learn(self, cause: BaseException) -> None:
        """If a driver's error says that no tenant was named, ask the database again at the next call."""
        if self._dialect.is_driver_error(cause) and self._dialect.lacks_tenants(cause):
            self._binds = None

    def _read(self, connection: Connection) -> bool:
        if allows_autocommit(connection):
            connection.execution_options(**self._dialect.autocommit_options)
        binds = self._dialect.binds_tenants(connection, list(metadata.tables))
        connection.rollback()
        return binds


def row_security_of(engine: Engine, dialect: Dialect) -> RowSecurity:
    """Return the object that the storages of an engine share, so that only the first one asks the database."""
    return _by_engine.setdefault(engine, RowSecurity(dialect))


def _send(connection: Connection, send: Callable[[], None]) -> None:
    """Send a message; close the connection if that is cancelled, as SQLAlchemy does."""
    try:
        send()
    except Exception:
        raise
    except BaseException:
        with suppress(Exception):
            connection.invalidate()
        raise
