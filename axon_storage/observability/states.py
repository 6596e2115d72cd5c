"""States: the pools and queues of all open storages of a process, measured when OpenTelemetry reads the metrics.

Rules:

1. A storage is measured until it is closed or garbage-collected.
2. A pool that several storages share is measured once. The numbers of pools with the same name are added up.
3. OpenTelemetry reads the metrics in a thread of its own. Only plain numbers are read here.
"""

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from opentelemetry.metrics import CallbackOptions, Observation

from axon_storage.engine.group_commit.capacity import Capacity
from axon_storage.observability import names
from axon_storage.observability.source import Attributes, PoolState, Source

Measurement = tuple[int, Attributes]
Callback = Callable[[CallbackOptions], Iterable[Observation]]


class States:
    """The storages that are measured."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: tuple[weakref.ref[Source], ...] = ()

    def add(self, source: Source) -> None:
        """Measure a storage from now on."""
        with self._lock:
            self._sources = (*[weakref.ref(open_) for open_ in self._open()], weakref.ref(source))

    def measured(self) -> Iterator[tuple[str, str, str, Callback]]:
        """Yield the name, the unit, the description and the callback of each metric."""
        connection, request = "{connection}", "{request}"
        of_pools, of_queues = self._of_pools, self._of_queues
        yield (
            names.CONNECTIONS,
            connection,
            "The number of connections that are currently in the state of the attribute.",
            _summed(lambda: of_pools(_connections)),
        )
        yield (
            names.MAX_CONNECTIONS,
            connection,
            "The maximum number of open connections allowed.",
            _summed(lambda: of_pools(_maximum)),
        )
        yield (
            names.PENDING_REQUESTS,
            request,
            "The number of current pending requests for an open connection.",
            _summed(self._pending),
        )
        yield (
            names.QUEUE_ROWS,
            "{row}",
            "The number of rows of the writes that are queued.",
            _summed(lambda: of_queues(lambda capacity: capacity.rows)),
        )
        yield (
            names.QUEUE_BYTES,
            "By",
            "The size of the writes that are queued.",
            _summed(lambda: of_queues(lambda capacity: capacity.bytes)),
        )

    def _open(self) -> list[Source]:
        sources = [reference() for reference in self._sources]
        return [source for source in sources if source is not None and not source.is_closed]

    def _of_pools(self, measure: Callable[[PoolState], Iterator[Measurement]]) -> Iterator[Measurement]:
        seen = set()
        for source in self._open():
            for state in source.pools():
                if state.pool not in seen:
                    seen.add(state.pool)
                    yield from measure(state)

    def _pending(self) -> Iterator[Measurement]:
        for source in self._open():
            for state in source.pools():
                yield state.use.waiting, {names.POOL_NAME: state.name}

    def _of_queues(self, measure: Callable[[Capacity], int]) -> Iterator[Measurement]:
        for source in self._open():
            queue, attributes = source.scheduler.queue, source.attributes()
            for state, capacity in (("ready", queue.ready_capacity), ("blocked", queue.blocked_capacity)):
                yield measure(capacity), {**attributes, names.QUEUE_STATE: state}


def _connections(pool: PoolState) -> Iterator[Measurement]:
    yield pool.used, {names.POOL_NAME: pool.name, names.STATE: "used"}
    yield pool.idle, {names.POOL_NAME: pool.name, names.STATE: "idle"}


def _maximum(pool: PoolState) -> Iterator[Measurement]:
    if pool.maximum is not None:
        yield pool.maximum, {names.POOL_NAME: pool.name}


def _summed(measure: Callable[[], Iterator[Measurement]]) -> Callback:
    """Return a callback that observes the sum of the measurements with the same attributes."""

    def callback(_options: CallbackOptions) -> Iterable[Observation]:
        totals: Counter[tuple[tuple[str, str | int], ...]] = Counter()
        for number, attributes in measure():
            totals[tuple(attributes.items())] += number
        return [Observation(number, dict(attributes)) for attributes, number in totals.items()]

    return callback
