"""Engines: from a plain URL to a fit one, and the events that make any engine fit."""

import os
import re
import ssl
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, Connection, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.engine.characteristics import IsolationLevelCharacteristic
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, Pool, PoolResetState, StaticPool

from axon_storage.dialects import Dialect, Tls, UnsupportedServer, of_driver, of_scheme
from axon_storage.engine.forks import keep, leave_to_parent
from axon_storage.errors import StorageConnectionError

_PREPARED = "axon_storage_prepared"
_CAN_AUTOCOMMIT = "axon_storage_may_go_alone"
_CLEAN = "axon_storage_clean"
_WAITS_BRIEFLY = "axon_storage_waits_briefly"

_group_pools: "WeakKeyDictionary[Engine, tuple[int, Pool]]" = WeakKeyDictionary()
"""Of each engine, with the process that made it."""

_WITHOUT_SERVER = re.compile(r"[\w+]+:///")
_USERS_PART = re.compile(r"^[\w+]+://([^:/]*(:[^@]*)?@)?")  # as SQLAlchemy reads it

_REFUSED = frozenset({"isolation_level", "postgresql_readonly"})
"""Execution options of a host's engine with which our transactions cannot be had."""

_OWN_OPTIONS = {"stream_results": False, "yield_per": None, "schema_translate_map": None}
"""Execution options of a host's engine that our calls do without, and what stands for none."""


def create_engine(
    url: str | URL,
    *,
    pool_size: int = 5,
    max_overflow: int = 10,
    pool_timeout: float = 30.0,
    connect_timeout: float = 10.0,
    echo: bool = False,
) -> AsyncEngine:
    """Make an engine that is fit from the start, from a plain URL such as ``postgresql://user@host/name``.

    The pool keeps ``pool_size`` connections and opens ``max_overflow`` more when those are busy; a call waits
    ``pool_timeout`` seconds for one. Group commits open up to two more, except on SQLite. Connecting may take
    ``connect_timeout`` seconds. ``sslmode`` (or ``ssl_mode``, ``ssl``), ``sslrootcert`` (``ssl_ca``), ``sslcert``
    (``ssl_cert``) and ``sslkey`` (``ssl_key``) in the URL mean the same on every driver. So does ``application_name``,
    by default ``axon_storage``: the name under which a server (not SQLite) shows the connections. On PostgreSQL
    ``search_path`` sets the schema that holds the tables. A URL that cannot be used is a
    :class:`StorageConnectionError`.
    """
    parsed = _parsed(url)
    try:
        dialect = of_scheme(parsed.drivername)
        dialect.check_url(parsed)
        parsed, tls = _without_tls(parsed.set(drivername=dialect.schemes[parsed.drivername]))
        parsed, arguments = dialect.connect_arguments(parsed, connect_timeout, tls)
        engine = create_async_engine(
            parsed,
            connect_args=arguments,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=pool_timeout,
            echo=echo,
            hide_parameters=True,
            pool_reset_on_return=None,  # _reset does it
        )
    except (UnsupportedServer, ValueError) as refused:
        raise StorageConnectionError(str(refused)) from None
    except ArgumentError as refused:
        raise StorageConnectionError(f"the database URL will not do: {str(refused)[:80]}") from None
    except ModuleNotFoundError as missing:
        extra = dialect.extras[parsed.drivername.partition("+")[2]]
        hint = f'pip install "axon-storage[{extra}]"'
        raise StorageConnectionError(f"{dialect.title} needs the module {missing.name}: {hint}") from missing
    attach_events(engine)
    event.listen(engine.sync_engine, "reset", _reset)
    if tls is not None and tls.context is not None:
        event.listen(engine.sync_engine, "do_connect", _connecting_with_tls(dialect, required=tls.required))
    return engine


def script_url(url: str | URL) -> URL:
    """The URL for a script of migrations: nothing connects, so no driver need be there, and MySQL is not MariaDB."""
    parsed = _parsed(url)
    try:
        of_scheme(parsed.drivername)
    except ValueError as refused:
        raise StorageConnectionError(str(refused)) from None
    kind = parsed.drivername.partition("+")[0]
    return URL.create("postgresql" if kind == "postgres" else kind)


def attach_events(engine: AsyncEngine) -> Dialect:
    """Make an engine of a supported driver fit, by events on it, and give its dialect; refuse what cannot be.

    Its sessions change for its maker too: on MySQL, MariaDB and Oracle they are at READ COMMITTED, not in autocommit,
    unless a connection is given another isolation level; on SQLite a transaction begins with its first statement.
    """
    inner = engine.sync_engine
    _check_every_at(engine.url)
    try:
        dialect = of_driver(inner.dialect)
        dialect.check_url(engine.url)
    except (ValueError, UnsupportedServer) as refused:
        raise StorageConnectionError(str(refused)) from None
    if isinstance(inner.pool, StaticPool):
        raise StorageConnectionError(
            "the engine's pool has one connection for all tasks, which mixes their transactions"
        )
    for option in _REFUSED.intersection(inner.get_execution_options()):
        raise StorageConnectionError(f"the engine sets {option} for every connection: make one without")
    if dialect.in_autocommit and cast("DefaultDialect", inner.dialect).skip_autocommit_rollback:
        raise StorageConnectionError("the engine skips the rollbacks that undo a block: no skip_autocommit_rollback")
    for name, listener in {**_listeners(dialect), "engine_disposed": _dispose_of_group_pool}.items():
        if not event.contains(inner, name, listener):
            event.listen(inner, name, listener)
    leave_to_parent(inner)
    if dialect.session_isolation is not None:
        _keep_isolation(inner, dialect.session_isolation)
    return dialect


def without_host_options(engine: AsyncEngine) -> AsyncEngine:
    """The engine, or one on its pool, without those of its execution options that would change what our calls do."""
    given = engine.sync_engine.get_execution_options()
    own = {name: value for name, value in _OWN_OPTIONS.items() if name in given}
    return engine.execution_options(**own) if own else engine


def engine_like(engine: AsyncEngine) -> AsyncEngine:
    """An engine with a pool of its own, to the same database and in the same way; dispose of it."""
    return create_async_engine(engine.url, pool=engine.sync_engine.pool.recreate(), hide_parameters=True)


def connect_for_group(engine: Engine, owner: Engine, dialect: Dialect) -> Connection:
    """Give a connection that only group commits use, whose statements wait for a lock only briefly.

    They come from a pool beside that of ``owner``, made like it, so that open transactions cannot take them all. The
    pool is disposed of with ``owner``. ``engine``: ``owner``, or the same with other execution options.
    """
    connection = Connection(engine, _group_pool(owner).connect())
    if _WAITS_BRIEFLY not in connection.info and allows_autocommit(connection):
        try:
            for statement in dialect.brief_lock_waits:
                connection.exec_driver_sql(statement)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        connection.info[_WAITS_BRIEFLY] = True
    return connection


def begin_for_group(connection: Connection, dialect: Dialect) -> None:
    """Make a transaction wait for locks only briefly, where its session was not made to."""
    if _WAITS_BRIEFLY not in connection.info:
        for statement in dialect.brief_lock_waits_local:
            connection.exec_driver_sql(statement)


def _group_pool(engine: Engine) -> Pool:
    if engine not in _group_pools:
        _group_pools[engine] = os.getpid(), engine.pool.recreate()
    return _group_pools[engine][1]


def _dispose_of_group_pool(engine: Engine) -> None:
    process, pool = _group_pools.pop(engine, (0, None))
    if pool is None:
        return
    if process == os.getpid():
        pool.dispose()
    else:
        keep(pool)


def allows_autocommit(connection: Connection) -> bool:
    """Whether a statement on a connection may go without a transaction, as the dialect says."""
    return _CAN_AUTOCOMMIT in connection.info


def mark_clean(connection: Connection) -> None:
    """Note that a connection, about to be closed, has no open transaction: one of ours is not rolled back then."""
    connection.info[_CLEAN] = True


def _reset(connection: DBAPIConnection, record: ConnectionPoolEntry | None, state: PoolResetState) -> None:
    """Roll back what may be open on a connection that goes back to its pool."""
    clean = record is not None and record.info.pop(_CLEAN, False)
    if not (clean or state.transaction_was_reset or state.terminate_only):
        connection.rollback()


class _SessionIsolation(IsolationLevelCharacteristic):
    """Resets a connection for which a host set an isolation level to the session's, not to the engine's default."""

    def __init__(self, level: str) -> None:
        self._level = level

    def reset_characteristic(self, dialect: Any, dbapi_conn: DBAPIConnection) -> None:
        dialect.set_isolation_level(dbapi_conn, self._level)


def _keep_isolation(engine: Engine, level: str) -> None:
    """Keep the sessions of an engine at a level.

    SQLAlchemy would leave an engine's default behind (REPEATABLE READ, or AUTOCOMMIT), which no driver can tell
    without asking the server.
    """
    dialect = cast("DefaultDialect", engine.dialect)
    kept = {"isolation_level": _SessionIsolation(level)}
    dialect.connection_characteristics = dialect.connection_characteristics.union(kept)


@cache
def _listeners(dialect: Dialect) -> dict[str, Any]:
    """One set a dialect, so that an engine given twice is prepared once."""

    def do_connect(_driver: object, record: ConnectionPoolEntry, _positional: object, keywords: dict[str, Any]) -> None:
        # a connection made before this listener was there is not known to be direct
        if dialect.allows_autocommit(keywords):
            record.info[_CAN_AUTOCOMMIT] = True

    def checkout(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        # at checkout, since an engine that was in use before has connections that never saw "connect"
        if dialect.is_lost(connection):
            raise DisconnectionError  # the pool makes another; a block's first statement would have failed
        dialect.on_checkout(connection)
        if _PREPARED not in record.info:
            dialect.on_connect(connection)
            record.info[_PREPARED] = True

    def invalidate(connection: DBAPIConnection, _record: ConnectionPoolEntry, _error: object) -> None:
        dialect.discard(connection)

    def begin(connection: Connection) -> None:
        dialect.begin(connection)

    def do_executemany(cursor: Any, statement: str, parameters: Sequence[Any], _context: object) -> bool | None:
        return dialect.executemany(cursor, statement, parameters) or None

    def do_setinputsizes(
        types: dict[BindParameter[Any], Any], _cursor: object, _statement: object, parameters: Any, context: Any
    ) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        dialect.bind_types(types, rows, context.dialect.loaded_dbapi)

    listeners: dict[str, Any] = {"do_connect": do_connect, "checkout": checkout}
    # those of a dialect that does something: SQLAlchemy spends time on each event that anybody listens to
    optional: dict[str, tuple[str, Any]] = {
        "invalidate": ("discard", invalidate),
        "begin": ("begin", begin),
        "do_executemany": ("executemany", do_executemany),
        "do_setinputsizes": ("bind_types", do_setinputsizes),
    }
    for event_name, (hook, listener) in optional.items():
        if getattr(type(dialect), hook) is not getattr(Dialect, hook):
            listeners[event_name] = listener
    return listeners


def _connecting_with_tls(dialect: Dialect, *, required: bool) -> Callable[..., DBAPIConnection]:
    """Connects with TLS; where that is not to be had, says so, or connects in plain text if it is not required."""

    def connect(
        driver: DefaultDialect, _record: ConnectionPoolEntry, positional: list[Any], keywords: dict[str, Any]
    ) -> DBAPIConnection:
        insisting = dialect.tls_options(driver.loaded_dbapi) if required else {}
        try:
            return driver.connect(*positional, **keywords, **insisting)
        except Exception as error:
            refusal = dialect.tls_refusal(error)
            if refusal is None:
                raise
            if required:
                raise UnsupportedServer(refusal) from error
            return driver.connect(*positional, **{name: value for name, value in keywords.items() if name != "ssl"})

    return connect


def _parsed(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # without the cause: its message may quote the URL, and so the password
        raise StorageConnectionError("the database URL cannot be parsed: scheme://user:password@host/name") from None
    _check_every_at(url)
    return parsed


def _check_every_at(url: str | URL) -> None:
    """Refuse an '@' behind the user's part: it is the password's, whose rest would be taken for the host and shown."""
    if isinstance(url, URL):
        row_keys = [url.host or ""]
    elif _WITHOUT_SERVER.match(url):
        return
    else:
        place, _, query = _USERS_PART.sub("", url, count=1).partition("?")
        row_keys = [place, *(option.partition("=")[0] for option in query.split("&"))]
    if any("@" in place for place in row_keys):
        raise StorageConnectionError(
            "an '@' in the database URL is not escaped: write %40 for each one in the user name, password and database"
        )


def _without_tls(url: URL) -> tuple[URL, Tls | None]:
    """Take the TLS parameters out of a URL, under any of their names, and make of them what they ask for."""
    normalised_type = {
        "mode": ("sslmode", "ssl_mode", "ssl"),
        "ca": ("sslrootcert", "ssl_ca"),
        "cert": ("sslcert", "ssl_cert"),
        "key": ("sslkey", "ssl_key"),
    }
    given: dict[str, str] = {}
    for meaning, names in normalised_type.items():
        for name in names:
            if name in url.query:
                given[meaning] = str(url.query[name])
    return url.difference_update_query([name for names in normalised_type.values() for name in names]), _tls(**given)


def _tls(mode: str | None = None, ca: str | None = None, cert: str | None = None, key: str | None = None) -> Tls | None:
    """What a mode means: ``require`` encrypts, ``verify-ca`` checks the certificate, ``verify-full`` the name too.

    A CA file makes ``verify-full`` the default, and makes ``require`` check the certificate, as libpq does.
    """
    if mode is None and ca is None:
        if cert is not None or key is not None:
            raise ValueError("sslcert and sslkey are of no use without sslmode or sslrootcert")
        return None
    mode = _MODES.get((mode or "verify-full").lower().replace("_", "-"))
    if mode is None:
        raise ValueError("sslmode must be disable, prefer, require, verify-ca or verify-full")
    if mode == "disable":
        return Tls(None, required=False)
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise ValueError(f"a TLS file cannot be read: {error.strerror or type(error).__name__}") from None
    context.check_hostname = mode == "verify-full"
    if mode == "prefer" or (mode == "require" and ca is None):
        context.verify_mode = ssl.CERT_NONE
    return Tls(context, required=mode != "prefer")


_MODES = {
    **dict.fromkeys(("disable", "disabled", "false", "0"), "disable"),
    **dict.fromkeys(("allow", "prefer", "preferred"), "prefer"),
    **dict.fromkeys(("require", "required"), "require"),
    "verify-ca": "verify-ca",
    **dict.fromkeys(("verify-full", "verify-identity", "true", "1"), "verify-full"),
}
