"""A persistence layer for AI-agent servers, with the same behaviour on every database."""

from importlib.metadata import version as _version

from axon_storage.backend import StorageBackend
from axon_storage.dispatcher import StorageDispatcher, open_storage
from axon_storage.engine.create import create_engine
from axon_storage.engine.retry import Retry
from axon_storage.engine.timeouts import operation_timeout
from axon_storage.errors import (
    EncryptionError,
    InvalidArgumentError,
    NotFoundError,
    QueryError,
    SerializationError,
    StorageConnectionError,
    StorageError,
    TenantMismatchError,
)
from axon_storage.loop_local import LoopLocal
from axon_storage.memory import InMemoryBackend
from axon_storage.model.health import Health, HealthReason, HealthReasonName
from axon_storage.model.ids import new_id
from axon_storage.model.rows import (
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Recorded,
    Row,
    ScheduleRow,
    SessionRow,
    TraceRow,
)
from axon_storage.model.stats import CallStats, PoolStats, QueueStats, StorageStats, TableStats
from axon_storage.model.summaries import CostSummary, EventSummary, TraceSummary
from axon_storage.model.validation import id_range
from axon_storage.repository import SqlRepository
from axon_storage.routing import TenantRouter
from axon_storage.tenancy import tenant_scope

__version__ = _version("axon-storage")

__all__ = [
    "AuditRow",
    "AxonStoreRow",
    "CacheRow",
    "CallStats",
    "CostRow",
    "CostSummary",
    "DaemonRow",
    "DataspaceRow",
    "EncryptionError",
    "EventRow",
    "EventSummary",
    "Health",
    "HealthReason",
    "HealthReasonName",
    "HibernationRow",
    "InMemoryBackend",
    "InvalidArgumentError",
    "LoopLocal",
    "NotFoundError",
    "PoolStats",
    "QueryError",
    "QueueStats",
    "Recorded",
    "Retry",
    "Row",
    "ScheduleRow",
    "SerializationError",
    "SessionRow",
    "SqlRepository",
    "StorageBackend",
    "StorageConnectionError",
    "StorageDispatcher",
    "StorageError",
    "StorageStats",
    "TableStats",
    "TenantMismatchError",
    "TenantRouter",
    "TraceRow",
    "TraceSummary",
    "__version__",
    "create_engine",
    "id_range",
    "new_id",
    "open_storage",
    "operation_timeout",
    "tenant_scope",
]
