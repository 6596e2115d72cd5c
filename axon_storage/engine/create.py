"""Creates SQLAlchemy engines."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from axon_storage.dialects import UnsupportedServer, before_values, dialect_of, execute, of_scheme
from axon_storage.engine.events import attach_events, reset
from axon_storage.engine.hosts import HostList, use_hosts
from axon_storage.engine.password import Password, hidden_password, with_password
from axon_storage.engine.session_limits import limit_sessions
from axon_storage.engine.tls import connector, plainly, split_tls
from axon_storage.engine.translation import without_context
from axon_storage.engine.url import Secrets, hidden, parse_url, split_secrets
from axon_storage.errors import StorageConnectionError

_OWN_OPTIONS = {"stream_results": False, "yield_per": None, "schema_translate_map": None}
"""Execution options of the application's engine that this package's calls must not use, with their defaults."""


_WITHOUT_VALUES: dict[str, Any] = {"hide_parameters": True, "logging_name": "axon_storage"}
"""Options of an engine that logs no stored value."""
# At DEBUG SQLAlchemy logs the rows of results, also with hide_parameters.
logging.getLogger("sqlalchemy.engine.Engine.axon_storage").addFilter(lambda record: record.levelno > logging.DEBUG)

_PASSWORDS = frozenset({"password", "passwd"})
"""The drivers' names of an argument that is the password."""

_max_connections: "WeakKeyDictionary[Engine, int]" = WeakKeyDictionary()
"""How many connections the pool of each engine may open. SQLAlchemy does not tell it."""


def create_engine(
    url: str | URL,
    *,
    password: Password | None = None,
    pool_size: int = 15,
    max_overflow: int = 0,
    pool_timeout: float = 30.0,
    connect_timeout: float = 10.0,
    statement_timeout: float | None = None,
    idle_transaction_timeout: float | None = None,
    echo: bool = False,
) -> AsyncEngine:
    """Create an engine from a plain URL such as ``postgresql://user@host/name``.

    ``password``: a password that is not in the URL, or a function that returns one, which may be asynchronous. It is
    called for each connection that is made, so a password may be valid for a short time only. SQLite has none.

    The pool opens up to ``pool_size`` connections when they are needed, and keeps them. While those are in use, it
    opens up to ``max_overflow`` more, which are closed after use. A call waits up to ``pool_timeout`` seconds for a
    connection; an open ``transaction()`` holds one. Group commit opens up to two more connections, except on SQLite.
    Connecting may take ``connect_timeout`` seconds.

    After ``statement_timeout`` seconds the server ends a statement, and after ``idle_transaction_timeout`` seconds a
    transaction whose client sends nothing, so that a client that hangs does not keep its locks. None leaves the
    server's own limits. A call with a longer ``operation_timeout`` sets a longer limit for its statements.

    The URL's parameters ``sslmode`` (or ``ssl_mode``, ``ssl``), ``sslrootcert`` (``ssl_ca``), ``sslcert``
    (``ssl_cert``) and ``sslkey`` (``ssl_key``) have the same meaning for every driver. So does
    ``application_name``, the name under which a server shows the connections; its default is ``axon_storage``. On
    PostgreSQL ``search_path`` sets the schema that contains the tables, and on Oracle ``current_schema``. A URL that
    cannot be used raises a :class:`StorageConnectionError`.
    """
    url, password = hidden(url), hidden_password(password)
    parsed, secrets = split_secrets(parse_url(url))
    pool = {"pool_size": pool_size, "max_overflow": max_overflow, "pool_timeout": pool_timeout}
    with without_context():
        engine = _create(parsed, secrets, password, connect_timeout, echo=echo, **pool)
        limit_sessions(engine.sync_engine, dialect_of(engine.dialect), statement_timeout, idle_transaction_timeout)
    _max_connections[engine.sync_engine] = pool_size + max_overflow
    return engine


def _create(
    url: URL, secrets: Secrets, password: Password | None, connect_timeout: float, **options: Any
) -> AsyncEngine:
    try:
        dialect = of_scheme(url.drivername)
        dialect.check_url(url)
        if dialect.embedded and secrets.arguments:
            raise UnsupportedServer(f"{dialect.title}'s URLs have no parameter {min(secrets.arguments)[:40]}")
        url, tls = split_tls(url.set(drivername=dialect.schemes[url.drivername]))
        url, hosts = dialect.split_hosts(url)
        first = dialect.first_statements(url)
        url, arguments = dialect.connect_arguments(url, connect_timeout, tls)
    except (UnsupportedServer, ValueError) as refused:
        raise StorageConnectionError(str(refused)) from None
    try:
        engine = create_async_engine(
            url,
            connect_args={**arguments, **secrets.arguments},
            **_WITHOUT_VALUES,
            pool_reset_on_return=None,  # the ``reset`` listener below rolls back instead
            **options,
        )
    except (ArgumentError, ValueError) as refused:
        raise StorageConnectionError(f"the database URL cannot be used: {before_values(str(refused))[:80]}") from None
    except ModuleNotFoundError as missing:
        extra = dialect.extras[url.drivername.partition("+")[2]]
        hint = f'pip install "axon-storage[{extra}]"'
        raise StorageConnectionError(f"{dialect.title} needs the module {missing.name}: {hint}") from None
    if first:
        event.listen(engine.sync_engine, "connect", partial(_run_first, first), insert=True)
    attach_events(engine)
    event.listen(engine.sync_engine, "reset", reset)
    connect = plainly if tls is None or tls.context is None else connector(dialect, required=tls.required)
    if hosts is not None:
        listed = HostList(dialect, hosts, connect_timeout, connect)
        use_hosts(engine.sync_engine, listed)
        connect = listed.connect
    if password is not None:
        in_url = url.password is not None or not _PASSWORDS.isdisjoint(secrets.arguments)
        connect = with_password(connect, dialect, password, in_url=in_url)
    if connect is not plainly:
        event.listen(engine.sync_engine, "do_connect", connect)
    return engine


def _run_first(statements: Sequence[str], connection: DBAPIConnection, _record: object) -> None:
    for statement in statements:
        execute(connection, statement)


def max_connections(engine: Engine) -> int | None:
    """Return how many connections the pool of an engine may open; None if :func:`create_engine` has not made it."""
    return _max_connections.get(engine)


def without_host_options(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine without execution options that would change this package's calls, with the same pool."""
    given = engine.sync_engine.get_execution_options()
    own = {name: value for name, value in _OWN_OPTIONS.items() if name in given}
    return engine.execution_options(**own) if own else engine


def engine_like(engine: AsyncEngine) -> AsyncEngine:
    """Return an engine with the same settings and a separate pool. The caller disposes of it."""
    return create_async_engine(engine.url, pool=engine.sync_engine.pool.recreate(), **_WITHOUT_VALUES)
