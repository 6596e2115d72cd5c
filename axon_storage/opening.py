"""Opening a storage: the options, and the backend for a URL."""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import TypedDict, TypeVar, Unpack

from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import schema
from axon_storage.backend import StorageBackend
from axon_storage.dialects import dialect_of, dotted
from axon_storage.encryption import Keyring
from axon_storage.encryption.check import check_is_keyring
from axon_storage.engine.create import create_engine
from axon_storage.engine.group_commit.queue import Queue
from axon_storage.engine.password import Password, hidden_password
from axon_storage.engine.retry import Retry
from axon_storage.engine.timeouts import DEFAULT_TIMEOUT, IDLE_TRANSACTION_TIMEOUT, STATEMENT_MARGIN, check_timeout
from axon_storage.engine.url import hidden
from axon_storage.errors import EncryptionError
from axon_storage.memory import InMemoryBackend
from axon_storage.model.ids import Clock
from axon_storage.observability import Observability, ObservabilityOptions
from axon_storage.repository import SqlRepository

_log = logging.getLogger(__name__)

Options = TypeVar("Options")


class PoolOptions(TypedDict, total=False):
    """Options of the connection pool; the defaults are those of :func:`axon_storage.create_engine`."""

    pool_size: int
    """Connections that the pool opens when they are needed, and then keeps. Default: 15."""

    max_overflow: int
    """Connections beyond ``pool_size`` that the pool opens when all are in use, and closes after use. Default: 0."""

    pool_timeout: float
    """Seconds that a call waits for a connection. Default: 30."""

    connect_timeout: float
    """Seconds that connecting may take. Default: 10."""


class QueueOptions(TypedDict, total=False):
    """Options of the queue of group commit."""

    tenant_queue_rows: int
    """Rows that one tenant may have in the queue. When it has as many, its further writes wait. Default: 5,000."""

    tenant_queue_bytes: int
    """Bytes that one tenant may have in the queue. Default: 8 MiB."""


class SessionOptions(TypedDict, total=False):
    """Limits that the server keeps, so that a client that hangs or has vanished does not keep its locks."""

    statement_timeout: float | None
    """Seconds after which the server ends a statement. Default: ``operation_timeout`` and 15 more. None: no limit."""

    idle_transaction_timeout: float | None
    """Seconds after which the server ends a transaction whose client sends nothing. Default: 300. None: no limit."""


class OpenOptions(PoolOptions, SessionOptions, QueueOptions, ObservabilityOptions, total=False):
    """Options of :func:`axon_storage.open_storage` and :meth:`axon_storage.StorageDispatcher.from_url`."""

    password: Password | None
    """The password, if it is not in the URL: a string, or a function, which may be asynchronous, that returns it.

    The function is called for each connection that is made. SQLite has no password. Default: None.
    """

    migrate: bool | None
    """Upgrade the schema when the storage is opened. Default: None, which means True on SQLite, else False."""

    allow_ahead: bool
    """Accept a schema that is newer than this package's, as during a rolling deployment. Default: False."""

    require_tenant: bool
    """Refuse calls without a tenant, instead of using ``"default"``. Default: False."""

    retry_attempts: int
    """The maximum number of attempts of a call that fails with transient errors, including the first. Default: 8."""

    retry_deadline: float
    """Seconds after which a failed call is not retried. Default: 30."""

    operation_timeout: float
    """Seconds that a call may take, including retries. Default: 60.

    :func:`axon_storage.operation_timeout` sets another value for a block.
    """

    group_commit: bool
    """Commit writes that are waiting at the same time in one transaction. Default: True."""

    encryption: Keyring | None
    """Encrypt documents with the keys of a :class:`axon_storage.encryption.Keyring`. Default: None.

    It has no effect if nothing is stored.
    """

    clock: Clock | None
    """Function that returns nanoseconds since 1970, for ids and expiry times. Default: ``time.time_ns``."""


_OPTION_NAMES = OpenOptions.__required_keys__ | OpenOptions.__optional_keys__


def check_option_names(function: str, options: Mapping[str, object]) -> None:
    """Raise a TypeError for an unknown option, because Python does not check the names of ``Unpack``."""
    for name in options.keys() - _OPTION_NAMES:
        raise TypeError(f"{function}() has no option {name!r}; its options are {', '.join(sorted(_OPTION_NAMES))}")


def hide_password(options: OpenOptions) -> None:
    """Give the password another ``repr``. Every public function that takes options begins with it, as with ``url``."""
    if "password" in options:
        options["password"] = hidden_password(options["password"])


async def open_backend(url: str | None, **options: Unpack[OpenOptions]) -> StorageBackend:
    """Open the backend for ``url`` or, without it, for the environment variable ``DATABASE_URL``.

    If neither is set, return an :class:`InMemoryBackend` and log a warning. For ``memory://``, return an
    :class:`InMemoryBackend`. Raise a TypeError for an unknown option.
    """
    url = hidden(url)
    hide_password(options)
    check_option_names("open_storage", options)
    retry = Retry(
        attempts=options.get("retry_attempts", Retry.attempts), deadline=options.get("retry_deadline", Retry.deadline)
    )
    timeout = check_timeout(options.get("operation_timeout", DEFAULT_TIMEOUT))
    observability = _subset(options, ObservabilityOptions)
    Observability(**observability)
    queue = _subset(options, QueueOptions)
    Queue(**queue)
    sessions = SessionOptions(
        statement_timeout=options.get("statement_timeout", timeout + STATEMENT_MARGIN),
        idle_transaction_timeout=options.get("idle_transaction_timeout", IDLE_TRANSACTION_TIMEOUT),
    )
    require_tenant = options.get("require_tenant", False)
    encryption = options.get("encryption")
    if encryption is not None:
        check_is_keyring(encryption)
        await _unlock(encryption, seconds=timeout)
    url = hidden(url or os.environ.get("DATABASE_URL"))
    if not url:
        _log.warning("no database URL is given and DATABASE_URL is not set: nothing will be stored")
    if not url or url.startswith("memory://"):
        return InMemoryBackend(require_tenant=require_tenant)
    engine = create_engine(url, password=options.get("password"), **_subset(options, PoolOptions), **sessions)
    try:
        migrate = options.get("migrate")
        if dialect_of(engine.dialect).embedded if migrate is None else migrate:
            await schema.upgrade(engine)
        await schema.check(engine, allow_ahead=options.get("allow_ahead", False))
    except BaseException:
        await engine.dispose()
        raise
    storage = SqlRepository(
        engine,
        clock=options.get("clock"),
        require_tenant=require_tenant,
        retry=retry,
        operation_timeout=timeout,
        group_commit=options.get("group_commit", True),
        encryption=encryption,
        **queue,
        **observability,
    )
    try:
        await storage.check_keys()
    except BaseException:
        await storage.close()
        raise
    _log_version(engine, storage.database)
    _log.info("opened %s", storage.database, extra={"storage_event": "opened", "database": storage.database})
    return storage


def _log_version(engine: AsyncEngine, database: str) -> None:
    """Log that the version of the server is not one of those with which the package is tested."""
    dialect = dialect_of(engine.dialect)
    version = dialect.server_version(engine.dialect)
    if not dialect.is_tested(version):
        found, tested = dotted(version), ", ".join(dialect.tested_servers) or "a double of the server"
        message = "%s: this package is not tested with %s %s, but with %s"
        event = {"storage_event": "untested_server", "server_version": found}
        _log.info(message, database, dialect.title, found, tested, extra=event)


async def _unlock(keyring: Keyring, *, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await keyring.unlock()
    except TimeoutError:
        message = f"the keys were not unwrapped within {seconds:g} s"
        raise EncryptionError(message, operation="open", transient=True, code="key_unavailable") from None


def _subset(options: OpenOptions, kind: type[Options]) -> Options:
    """Return the options that a group of options has."""
    return kind(**{name: value for name, value in options.items() if name in kind.__annotations__})
