"""Source: what identifies the database of a storage, and the state of its pools and its queue."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy.pool import Pool, QueuePool

from axon_storage.dialects import Host, dialect_of
from axon_storage.engine.create import max_connections
from axon_storage.engine.executor import Executor
from axon_storage.engine.group_commit.scheduler import Scheduler
from axon_storage.engine.group_pool import group_pool_of
from axon_storage.engine.hosts import host_in_use
from axon_storage.engine.observer import PoolUse
from axon_storage.observability import names

Attributes = Mapping[str, str | int]


class PoolState(NamedTuple):
    """The state of a connection pool, in connections. ``maximum``: None if it is not known."""

    pool: Pool
    use: PoolUse
    name: str
    used: int
    idle: int
    maximum: int | None


class Source:
    """A storage, as spans and metrics describe it."""

    def __init__(self, executor: Executor, scheduler: Scheduler) -> None:
        self._executor, self.scheduler = executor, scheduler
        self._engine = executor.connections.host_engine.sync_engine
        self._attributes: Attributes | None = None
        self._host: Host | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the storage is closed."""
        return self._executor.lifecycle.is_closed

    @property
    def is_known(self) -> bool:
        """Whether the attributes are final. Before the first connection, a MariaDB server is taken for MySQL."""
        return self._executor.connections.has_connected

    def attributes(self) -> Attributes:
        """Return the attributes that are the same for every call, until another of several hosts is used."""
        host = host_in_use(self._engine)
        if self._attributes is not None and host is self._host:
            return self._attributes
        dialect, url = dialect_of(self._engine.dialect), self._engine.url
        address, port = host or dialect.server(url)
        known = {
            names.SYSTEM: dialect.system_name,
            names.NAMESPACE: dialect.namespace(url),
            names.ADDRESS: address,
            names.PORT: None if port == dialect.default_port else port,
        }
        found: Attributes = {name: value for name, value in known.items() if value is not None}
        if self.is_known:
            self._attributes, self._host = found, host
        return found

    def further_attributes(self) -> Attributes:
        """Return the attributes of spans, and not of metrics, that are the same for every call."""
        return dialect_of(self._engine.dialect).identifying_attributes(self._engine.url)

    def pool_name(self, use: PoolUse) -> str:
        """Return the name of a pool: that of SQLAlchemy's pool if it has one, otherwise ``address:port/namespace``."""
        dialect, url = dialect_of(self._engine.dialect), self._engine.url
        (address, port), database = dialect.server(url), url.database or ""
        made = f"{address}:{port or dialect.default_port}/{database}" if address else database
        name = self._engine.pool.logging_name or made
        return f"{name} group commit" if use.for_groups else name

    def pools(self) -> Iterator[PoolState]:
        """Yield the state of the engine's pool and, once it was used, of group commit's."""
        monitor, maximum = self._executor.monitor, max_connections(self._engine)
        of_groups = min(maximum or self.scheduler.max_batches, self.scheduler.max_batches)
        for pool, use, limit in (
            (self._engine.pool, monitor.pool, maximum),
            (group_pool_of(self._engine), monitor.group_pool, of_groups),
        ):
            if isinstance(pool, QueuePool):
                yield PoolState(pool, use, self.pool_name(use), pool.checkedout(), pool.checkedin(), limit)
