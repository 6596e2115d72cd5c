"""A small write-through agent server: its state is in memory, and every change is written to the storage.

``python agent_server.py WORKLOAD RUN`` opens ``DATABASE_URL``, restores every tenant of the run, and continues the
workload at the stored position. It reports on standard output, as one JSON object per line, what it has restored,
each stored row, and its state at the end. It may be killed at any moment.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from axon_storage import Row, SessionRow, StorageBackend, TraceRow, open_storage
from axon_storage.model.rows import ROW_TYPES

ROW_TYPE = {row_type.TABLE: row_type for row_type in ROW_TYPES}
EVERYTHING = 10**9

TenantState = dict[type[Row], list[Row]]


class State:
    """The state in memory: the rows of each tenant and row type, in the order of the storage's lists."""

    def __init__(self) -> None:
        self.tenants: dict[str, TenantState] = {}

    def apply(self, row: Row) -> None:
        """Apply a written row: replace the row with the same key, or add it."""
        rows = self.tenants.setdefault(row.tenant_id, {}).setdefault(type(row), [])
        for position, other in enumerate(rows):
            if row.KEY and _key(other) == _key(row):
                rows[position] = row
                return
        rows.insert(0, row)  # newest first
        if row.KEY and not isinstance(row, TraceRow):
            rows.sort(key=_key)

    def summary(self) -> dict[str, Any]:
        """Return the number of rows of each table, and a digest of them."""
        found = {}
        for table, row_type in ROW_TYPE.items():
            rows = [row for tenant in sorted(self.tenants) for row in self.tenants[tenant].get(row_type, [])]
            digest = hashlib.sha256(b"\n".join(row.to_json() for row in rows)).hexdigest()
            found[table] = {"rows": len(rows), "digest": digest}
        return found


async def restore(storage: StorageBackend, run: str) -> State:
    """Read the state of all tenants of a run."""
    state = State()
    for tenant in await storage.tenant_ids():
        if tenant.endswith(run) and tenant != _server(run):
            state.tenants[tenant] = await _restore_tenant(storage.for_tenant(tenant))
    return state


async def _restore_tenant(storage: StorageBackend) -> TenantState:
    sessions = [entry for scope in await storage.session_scopes() for entry in await storage.load_sessions(scope)]
    loaded: list[list[Any]] = [
        await storage.load_traces(EVERYTHING),
        sessions,
        await storage.load_daemons(),
        await storage.query_audit(EVERYTHING),
        await storage.load_axon_stores(),
        await storage.load_dataspaces(),
        await storage.load_hibernations(),
        await storage.query_events(None, EVERYTHING),
        await storage.load_cache_entries(),
        await storage.query_costs(None, EVERYTHING),
        await storage.load_schedules(),
    ]
    return dict(zip(ROW_TYPES, loaded, strict=True))


async def position(storage: StorageBackend, run: str) -> int:
    """Return how many rows of the workload are stored; the position is saved in the same transaction as its row."""
    entry = await storage.for_tenant(_server(run)).get_session("workload", "position")
    return 0 if entry is None else int(entry.value)


async def write_through(storage: StorageBackend, run: str, number: int, row: Row) -> None:
    """Store one row together with the position after it."""
    server = _server(run)
    entry = SessionRow(tenant_id=server, scope="workload", key="position", value=str(number), source_step="")
    async with storage.transaction() as transaction:
        await transaction.for_tenant(row.tenant_id).save_many([row])
        await transaction.for_tenant(server).save_session(entry)


def read_workload(path: Path, run: str) -> Iterator[Row]:
    """Yield the recorded rows, as rows of the tenants of this run."""
    for line in path.read_text(encoding="utf-8").splitlines():
        recorded = json.loads(line)
        row = ROW_TYPE[recorded["table"]].from_json(json.dumps(recorded["row"]))
        yield replace(row, tenant_id=f"{row.tenant_id}{run}")


async def serve(path: Path, run: str) -> None:
    """Restore the state, and write the rest of the workload."""
    async with open_storage(migrate=True) as storage:
        state = await restore(storage, run)
        done = await position(storage, run)
        _report(restored=state.summary(), position=done)
        for number, row in enumerate(read_workload(path, run), start=1):
            if number > done:
                await write_through(storage, run, number, row)
                state.apply(row)
                _report(stored=number)
        _report(held=state.summary(), stored=(await restore(storage, run)).summary())


def _server(run: str) -> str:
    return f"server{run}"


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in row.KEY)


def _report(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201  # the server's report


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()  # type: ignore[no-any-return, unused-ignore]  # untyped if it is not installed


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(serve(Path(sys.argv[1]), sys.argv[2]))
