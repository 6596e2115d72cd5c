"""The instruments of OpenTelemetry. All storages of a process that use a meter provider share them."""

from importlib.metadata import version
from threading import Lock
from weakref import WeakKeyDictionary

from opentelemetry.metrics import Meter, MeterProvider

from axon_storage.observability import names
from axon_storage.observability.states import States


class Instruments:
    """The instruments of a meter. ``states``: the storages whose pools and queues are measured."""

    def __init__(self, meter: Meter) -> None:
        self.duration = meter.create_histogram(
            names.DURATION,
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=names.SECONDS,
        )
        self.wait_time = meter.create_histogram(
            names.WAIT_TIME,
            unit="s",
            description="The time it took to obtain an open connection from the pool.",
            explicit_bucket_boundaries_advisory=names.SECONDS,
        )
        self.connection_timeouts = meter.create_counter(
            names.CONNECTION_TIMEOUTS,
            unit="{timeout}",
            description="The number of connection timeouts that have occurred trying to obtain a connection.",
        )
        self.group_commit_size = meter.create_histogram(
            names.GROUP_COMMIT_SIZE,
            unit="{write}",
            description="The number of writes that a group commit sends in one transaction.",
            explicit_bucket_boundaries_advisory=names.SIZES,
        )
        self.queue_wait = meter.create_histogram(
            names.QUEUE_WAIT,
            unit="s",
            description="How long the first write of a group commit was queued when the group commit began.",
            explicit_bucket_boundaries_advisory=names.SECONDS,
        )
        self.retries = meter.create_counter(
            names.RETRIES, unit="{retry}", description="The number of attempts of a call beyond the first."
        )
        self.refused_rows = meter.create_counter(
            names.REFUSED_ROWS, unit="{row}", description="The number of rows that the database refused to store."
        )
        self.late_rollbacks = meter.create_counter(
            names.LATE_ROLLBACKS,
            unit="{rollback}",
            description="The number of calls and transactions that were rolled back because an event was too old.",
        )
        self.states = States()
        for name, unit, description, callback in self.states.measured():
            meter.create_observable_up_down_counter(name, [callback], unit=unit, description=description)


_lock = Lock()
_made: "WeakKeyDictionary[MeterProvider, Instruments]" = WeakKeyDictionary()


def instruments_of(provider: MeterProvider) -> Instruments:
    """Return the instruments of a meter provider, which are made once."""
    with _lock:  # event loops in several threads may open storages at the same time
        if provider not in _made:
            _made[provider] = Instruments(provider.get_meter("axon_storage", version("axon-storage"), names.SCHEMA_URL))
        return _made[provider]
