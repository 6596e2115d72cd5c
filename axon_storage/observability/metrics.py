"""Metrics: OpenTelemetry's metrics of database calls and connection pools, and our own of retries and group commit."""

from time import perf_counter

from opentelemetry.metrics import MeterProvider

from axon_storage.engine.observer import Call, Kind, Observer, PoolUse
from axon_storage.errors import StorageError
from axon_storage.observability import names
from axon_storage.observability.described import Described, error_attributes
from axon_storage.observability.instruments import instruments_of
from axon_storage.observability.source import Attributes, Source


class Metrics(Observer):
    """Records the metrics of a storage."""

    def __init__(self, provider: MeterProvider, source: Source) -> None:
        self._instruments = instruments_of(provider)
        self._instruments.states.add(source)
        self._source, self._described = source, Described(source)
        self._pool_attributes: dict[PoolUse, Attributes] = {}

    def end(self, call: Call, error: BaseException | None) -> None:
        """Record the duration of a call; of a group commit its size too, and how long its writes were queued."""
        if call.kind is Kind.BLOCK:
            return
        made = self._instruments
        attributes = self._attributes(call, error)
        made.duration.record(perf_counter() - call.started, attributes)
        if call.kind is Kind.GROUP_COMMIT:
            common = self._source.attributes()
            made.group_commit_size.record(len(call.carried), common)
            made.queue_wait.record(call.queue_wait(), common)

    def retrying(self, call: Call, attempt: int, pause: float, error: StorageError) -> None:
        """Count a retry."""
        del attempt, pause
        self._instruments.retries.add(1, self._attributes(call, error))

    def connected(self, pool: PoolUse, seconds: float) -> None:
        """Record how long a call has waited for a connection."""
        self._instruments.wait_time.record(seconds, self._of_pool(pool))

    def connection_timed_out(self, pool: PoolUse) -> None:
        """Count a call that has got no connection in time."""
        self._instruments.connection_timeouts.add(1, self._of_pool(pool))

    def refused(self, call: Call, rows: int, error: StorageError) -> None:
        """Count rows that the database has refused."""
        self._instruments.refused_rows.add(rows, self._attributes(call, error))

    def rolled_back_late(self, call: Call, error: StorageError) -> None:
        """Count a call or a transaction that was rolled back."""
        del error
        self._instruments.late_rollbacks.add(1, self._attributes(call))

    def _of_pool(self, pool: PoolUse) -> Attributes:
        if pool not in self._pool_attributes:
            self._pool_attributes[pool] = {names.POOL_NAME: self._source.pool_name(pool)}
        return self._pool_attributes[pool]

    def _attributes(self, call: Call, error: BaseException | None = None) -> Attributes:
        known = self._described.known(call).attributes
        return known if error is None else {**known, **error_attributes(error)}
