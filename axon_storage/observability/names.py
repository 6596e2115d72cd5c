"""The names of attributes and metrics: those of OpenTelemetry's semantic conventions for databases, and our own.

They are written here, because the package of the conventions is a beta. A test compares them with that package.
"""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.43.0"
"""The version of the semantic conventions."""

# Attributes of the semantic conventions.

SYSTEM = "db.system.name"
NAMESPACE = "db.namespace"
COLLECTION = "db.collection.name"
OPERATION = "db.operation.name"
BATCH_SIZE = "db.operation.batch.size"
STATUS_CODE = "db.response.status_code"
ADDRESS = "server.address"
PORT = "server.port"
ERROR_TYPE = "error.type"
POOL_NAME = "db.client.connection.pool.name"
STATE = "db.client.connection.state"

# Metrics of the semantic conventions, and the boundaries that they advise.

DURATION = "db.client.operation.duration"
CONNECTIONS = "db.client.connection.count"
MAX_CONNECTIONS = "db.client.connection.max"
PENDING_REQUESTS = "db.client.connection.pending_requests"
WAIT_TIME = "db.client.connection.wait_time"
CONNECTION_TIMEOUTS = "db.client.connection.timeouts"

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

# Our own attributes.

TENANT = "axon_storage.tenant"
TURN_TIME = "axon_storage.time.turn"
CONNECTION_TIME = "axon_storage.time.connection"
DATABASE_TIME = "axon_storage.time.database"
PAUSE_TIME = "axon_storage.time.pause"
GROUP_COMMIT_ROWS = "axon_storage.group_commit.rows"
QUEUE_STATE = "axon_storage.group_commit.queue.state"
RETRY = "axon_storage.retry"
"""The name of the event of a span for each further attempt."""
RETRY_ATTEMPT = "axon_storage.retry.attempt"
RETRY_PAUSE = "axon_storage.retry.pause"

# Our own metrics.

RETRIES = "axon_storage.retries"
GROUP_COMMIT_SIZE = "axon_storage.group_commit.size"
QUEUE_ROWS = "axon_storage.group_commit.queue.rows"
QUEUE_BYTES = "axon_storage.group_commit.queue.bytes"
QUEUE_WAIT = "axon_storage.group_commit.queue.wait"
REFUSED_ROWS = "axon_storage.refused_rows"
LATE_ROLLBACKS = "axon_storage.late_rollbacks"

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
