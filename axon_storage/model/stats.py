"""StorageStats: the size and the state of a database, of a connection pool and of group commit's queue; counters."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """The size of one table, with the rows of all tenants.

    ``rows``: their number, counted if ``is_exact``, otherwise the database's estimate. ``bytes``: the size of the table
    with its indexes; None if the database cannot tell it cheaply. ``oldest``, ``newest``: the UTC timestamps of the
    first and the last row; None for an empty table, for tables whose rows have no id, and with over 1,000 tenants.
    """

    table: str
    rows: int
    is_exact: bool
    bytes: int | None
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The state of a connection pool, in connections. Those of group commit are not counted.

    ``size``: how many it keeps. ``in_use``: how many calls and transactions hold now. ``overflow``: how many are open
    beyond ``size``.
    """

    size: int
    in_use: int
    overflow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The state of group commit's queue.

    ``waiting_rows``, ``waiting_bytes``: the queued writes. ``batches_in_flight``, ``writes_in_flight``: the batches
    that the database has not answered, and their writes. Writes that their callers send alone are not counted.
    """

    waiting_rows: int
    waiting_bytes: int
    batches_in_flight: int
    writes_in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStats:
    """What a storage has done since it was opened, in this process, with all its views and transactions.

    ``calls``: those that have begun; each page of an iterator is one. ``errors``: the calls, BEGINs and COMMITs that
    raised a :class:`StorageError`. ``retries``: attempts beyond the first. ``transactions``: ``transaction()`` blocks.
    ``group_commits``: transactions of group commit that were committed. ``grouped_writes``, ``grouped_rows``: the calls
    that they carried, and the rows of these calls. ``refused_rows``: rows that the database refused to store.
    ``late_rollbacks``: calls and transactions that were rolled back, because an event had been appended more than 60 s
    before. ``pool_timeouts``: how often no connection became free within ``pool_timeout``.
    """

    calls: int
    errors: int
    retries: int
    transactions: int
    group_commits: int
    grouped_writes: int
    grouped_rows: int
    refused_rows: int
    late_rollbacks: int
    pool_timeouts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStats:
    """The size and the state of a database with all its tenants, and of this process's use of it.

    ``database``: the name of the database system, such as ``"PostgreSQL"``. ``revision``: that of the schema, or None.
    ``pool``, ``queue``, ``calls``: None for a backend that has none of them, and inside a transaction.
    """

    database: str
    server_version: str
    revision: str | None
    tables: tuple[TableStats, ...]
    pool: PoolStats | None = None
    queue: QueueStats | None = None
    calls: CallStats | None = None
