"""The methods of a storage that delete many rows: old ones of a table, or all of a tenant."""

import logging
from datetime import datetime
from typing import Any

from axon_storage.backend.base import BackendBase
from axon_storage.backend.prune_run import PruneRun, has_rows
from axon_storage.errors import QueryError
from axon_storage.model.maintenance import CountPruned, ForgetPruned
from axon_storage.model.rows import (
    ROW_TYPES,
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Row,
    ScheduleRow,
    SessionRow,
    TraceRow,
)
from axon_storage.model.seals import CountSeals, ForgetSeals
from axon_storage.model.validation import (
    operation_context,
    validate_fields,
    validate_flags,
    validate_pause,
    validate_time,
)

_ERASE_PASSES = 5

_RECORDS = "axon_storage_pruning"
"""The name under which the records about prune runs are counted: that of their table."""

_SEALS = "axon_storage_audit_seals"
"""The same for the seals of the audit log."""

_log = logging.getLogger(__name__)


class MaintenanceMethods(BackendBase):
    """Methods that prune tables and erase tenants."""

    prune_rows: int = 1_000
    """The maximum number of rows that one transaction of a prune or erase run deletes."""

    # Rows that are ordered by their first save.

    async def prune_traces(
        self, before: datetime, *, flow: str | None = None, dry_run: bool = False, pause: float = 0.0
    ) -> int:
        """Delete the traces of a flow (None: of all flows) that were first saved before a time; return their number.

        ``before`` is a datetime with a time zone. Rows are deleted oldest first, in transactions of up to 1,000 rows,
        with ``pause`` seconds between two transactions. If the run is interrupted, the next one continues its work.
        With ``dry_run``, the rows are counted and not deleted. The number is that of the rows that this run has
        deleted; it can be too low if the connection was lost during a COMMIT.

        One run at a time prunes a table of a tenant. Another one waits up to ``operation_timeout``, and then raises a
        :class:`StorageConnectionError` with ``transient`` set. After a process was killed, its run blocks others for
        up to 15 seconds. Inside a ``transaction()`` the method raises a :class:`QueryError`.

        Prune only when no process of a release before 0.2.0 writes to the database::

            deleted = await storage.prune_traces(datetime.now(UTC) - timedelta(days=90), pause=0.05)
        """
        return await self._prune("prune_traces", TraceRow, before, dry_run, pause, flow_name=flow)

    async def prune_audit(self, before: datetime, *, dry_run: bool = False, pause: float = 0.0) -> int:
        """Delete the audit entries that were appended before a time, as :meth:`prune_events` does."""
        return await self._prune("prune_audit", AuditRow, before, dry_run, pause)

    async def prune_events(
        self, before: datetime, *, topic: str | None = None, dry_run: bool = False, pause: float = 0.0
    ) -> int:
        """Delete the events of a topic (None: of all topics) that were appended before a time; return their number.

        It works as :meth:`prune_traces` does. In addition, an append with an ``id`` that is older than 15 minutes
        raises an :class:`InvalidArgumentError` if the table was pruned up to a later time, so that a repeated append
        does not store a pruned row again. A prune of one topic does not do this.
        """
        return await self._prune("prune_events", EventRow, before, dry_run, pause, topic=topic)

    async def prune_costs(
        self, before: datetime, *, flow: str | None = None, dry_run: bool = False, pause: float = 0.0
    ) -> int:
        """Delete the costs of a flow (None: of all flows) that were appended before a time, as :meth:`prune_events`."""
        return await self._prune("prune_costs", CostRow, before, dry_run, pause, flow_name=flow)

    # Rows with a key.

    async def prune_sessions(
        self, before: datetime, *, scope: str | None = None, dry_run: bool = False, pause: float = 0.0
    ) -> int:
        """Delete the session entries of a scope (None: of all scopes) that were last saved before a time.

        It works as :meth:`prune_traces` does, in the order of the keys. All keys of the table are read, because the
        time of the last save has no index. Rows that are saved during the run are not deleted.

        The time of the last save is unknown for rows that were last saved before revision 0004 of the schema. A run
        does not delete them, but records that they were saved now.

        Without ``scope`` it also deletes what the clients of ``axon_storage.integrations`` need: an agent's newest
        checkpoint may need a value that was saved long ago. Prune the threads of agents with ``AxonSaver.aprune``,
        expired items with ``AxonStore.sweep_ttl``, and your own entries with ``scope``.
        """
        return await self._prune("prune_sessions", SessionRow, before, dry_run, pause, scope=scope)

    async def prune_daemons(self, before: datetime, *, dry_run: bool = False, pause: float = 0.0) -> int:
        """Delete the daemons that were last saved before a time, as :meth:`prune_sessions` does."""
        return await self._prune("prune_daemons", DaemonRow, before, dry_run, pause)

    async def prune_axon_stores(self, before: datetime, *, dry_run: bool = False, pause: float = 0.0) -> int:
        """Delete the stores that were last saved before a time, as :meth:`prune_sessions` does."""
        return await self._prune("prune_axon_stores", AxonStoreRow, before, dry_run, pause)

    async def prune_dataspaces(self, before: datetime, *, dry_run: bool = False, pause: float = 0.0) -> int:
        """Delete the dataspaces that were last saved before a time, as :meth:`prune_sessions` does."""
        return await self._prune("prune_dataspaces", DataspaceRow, before, dry_run, pause)

    async def prune_hibernations(self, before: datetime, *, dry_run: bool = False, pause: float = 0.0) -> int:
        """Delete the hibernated agents that were last saved before a time, as :meth:`prune_sessions` does."""
        return await self._prune("prune_hibernations", HibernationRow, before, dry_run, pause)

    async def prune_cache(self, before: datetime, *, dry_run: bool = False, pause: float = 0.0) -> int:
        """Delete the results, expired or not, that were last saved before a time, as :meth:`prune_sessions` does."""
        return await self._prune("prune_cache", CacheRow, before, dry_run, pause)

    async def prune_schedules(self, before: datetime, *, dry_run: bool = False, pause: float = 0.0) -> int:
        """Delete the schedules that were last saved before a time, as :meth:`prune_sessions` does."""
        return await self._prune("prune_schedules", ScheduleRow, before, dry_run, pause)

    # A tenant.

    async def erase_tenant(self, *, dry_run: bool = False) -> dict[str, int]:
        """Delete every row of the tenant, and return the number of deleted rows by table, with all eleven tables.

        The tenant must be named by :meth:`for_tenant` or ``tenant_scope``; otherwise a :class:`TenantMismatchError` is
        raised. Rows are deleted in transactions of up to 1,000 rows. If the run is interrupted, run it again. With
        ``dry_run``, the rows are counted and not deleted.

        Stop the tenant's writers first. A write that commits afterwards brings the tenant back, and
        :meth:`tenant_ids` then lists it again. If writers do not stop, a :class:`QueryError` with ``transient`` set is
        raised. What :meth:`prune_events` records about old ids is deleted too, and counted as
        ``"axon_storage_pruning"``, and so are the seals of the audit log, as ``"axon_storage_audit_seals"``::

            counts = await storage.for_tenant("acme").erase_tenant()
        """
        operation = "erase_tenant"
        with operation_context(operation):
            validate_flags(dry_run=dry_run)
            tenant = self.current_tenant(required=True)
        backend = self._iteration_backend()
        runs = [PruneRun(backend, operation, tenant, each, {}, None, self.prune_rows) for each in ROW_TYPES]
        if dry_run:
            counts = {run.row_type.TABLE: await run.count() for run in runs}
            records = await backend.execute(CountPruned(operation=operation, tenant=tenant))
            return counts | {
                _RECORDS: records,
                _SEALS: await backend.execute(CountSeals(operation=operation, tenant=tenant)),
            }
        _log.info("erase_tenant: begins")
        counts = dict.fromkeys([*(run.row_type.TABLE for run in runs), _RECORDS, _SEALS], 0)
        for _number in range(_ERASE_PASSES):
            deleted = {run.row_type.TABLE: await run.delete() for run in runs}
            records = await backend.execute(ForgetPruned(operation=operation, tenant=tenant))
            others = {_RECORDS: records, _SEALS: await self._forget_seals(operation, tenant)}
            counts = {name: counts[name] + count for name, count in (deleted | others).items()}
            # A row can be written to a table that this pass has already searched.
            if not any(deleted.values()) and not await has_rows(backend, operation, tenant):
                _log.info("erase_tenant: ends, deleted %s", counts)
                return counts
        message = "the tenant still gets new rows: stop its writers, and erase it again"
        raise QueryError(message, operation=operation, transient=True)

    async def _forget_seals(self, operation: str, tenant: str) -> int:
        deleted, request = 0, ForgetSeals(operation=operation, tenant=tenant)
        while count := await self._iteration_backend().execute(request):
            deleted += count
        return deleted

    async def _prune(
        self, operation: str, row_type: type[Row], before: datetime, dry_run: bool, pause: float, **where: Any
    ) -> int:
        with operation_context(operation):
            validate_time(before=before)
            validate_flags(dry_run=dry_run)
            validate_pause(pause)
            fields = validate_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self.current_tenant()
        backend = self._iteration_backend()
        run = PruneRun(backend, operation, tenant, row_type, fields, before, self.prune_rows, pause)
        return await (run.count() if dry_run else run.delete_with_lease())
