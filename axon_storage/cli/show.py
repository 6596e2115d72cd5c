"""``axon-storage show`` and ``axon-storage traces``: the rows of one table."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import typer

from axon_storage.backend import StorageBackend
from axon_storage.cli.formats import cells_of, headers_of
from axon_storage.cli.options import (
    DEFAULT_TENANT,
    Flow,
    Json,
    Limit,
    Tenant,
    Topic,
    Url,
    opened,
    row_type_of,
    tenant_of,
)
from axon_storage.cli.terminal import note, printable, run, show_json_text, show_table
from axon_storage.model.rows import (
    AuditRow,
    CostRow,
    EventRow,
    Row,
    TraceRow,
)

TableName = Annotated[str, typer.Argument(metavar="TABLE", help="A table, such as traces, sessions or events.")]

_COLUMNS: dict[type[Row], tuple[str, ...]] = {
    TraceRow: ("trace_id", "flow_name", "status", "latency_ms", "tokens_input", "tokens_output", "errors", "backend"),
}
"""The columns of wide tables that are shown to people; --json prints all."""


def show_rows(
    table: TableName,
    url: Url,
    *,
    tenant: Tenant = DEFAULT_TENANT,
    limit: Limit = 20,
    flow: Flow = None,
    topic: Topic = None,
    as_json: Json = False,
) -> None:
    """Show rows of one tenant: of append-only tables and traces the newest first, otherwise in the order of keys.

    Long values are shortened. With --json every row is printed whole, one JSON object on each line.
    """
    row_type, tenant = row_type_of(table), tenant_of(tenant)
    _check_filters(row_type, flow, topic)
    _print(row_type, tenant, *run(_read(url, row_type, tenant, limit, flow or topic)), as_json=as_json)


def traces(
    url: Url, *, tenant: Tenant = DEFAULT_TENANT, limit: Limit = 20, flow: Flow = None, as_json: Json = False
) -> None:
    """Show the newest traces of one tenant: their cost, outcome and duration."""
    tenant = tenant_of(tenant)
    _print(TraceRow, tenant, *run(_read(url, TraceRow, tenant, limit, flow)), as_json=as_json)


def _check_filters(row_type: type[Row], flow: str | None, topic: str | None) -> None:
    if flow is not None and row_type not in {TraceRow, CostRow}:
        raise typer.BadParameter("only traces and costs have a --flow")
    if topic is not None and row_type is not EventRow:
        raise typer.BadParameter("only events have a --topic")


async def _read(
    url: str, row_type: type[Row], tenant: str, limit: int, name: str | None
) -> tuple[Sequence[Row], list[str]]:
    """Return the rows with this flow or topic (None: all) and, if there are none, the tenants that have rows."""
    async with opened(url) as storage:
        rows = await _rows_of(storage.for_tenant(tenant), row_type, limit, name)
        return rows, [] if rows else await storage.tenant_ids()


def _print(row_type: type[Row], tenant: str, rows: Sequence[Row], tenants: list[str], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            show_json_text(row.to_json().decode())
    elif rows:
        names = _COLUMNS.get(row_type)
        headers = headers_of(row_type)
        chosen = [number for number, name in enumerate(headers) if names is None or name in names]
        show_table(
            [headers[number] for number in chosen], ([cells_of(row)[number] for number in chosen] for row in rows)
        )
    if not rows:
        others = f"; tenants with rows: {', '.join(tenants[:10])}" if tenants else ""
        note(f"tenant {printable(tenant)!r} has no such rows in {row_type.TABLE}{others}")


async def _rows_of(storage: StorageBackend, row_type: type[Row], limit: int, name: str | None) -> Sequence[Row]:
    """Return rows of a type: traces and append-only rows the newest first, others in the order of their keys."""
    if row_type is TraceRow:
        return await storage.load_traces(limit, flow=name)
    if row_type is AuditRow:
        return await storage.query_audit(limit)
    if row_type is EventRow:
        return await storage.query_events(name, limit)
    if row_type is CostRow:
        return await storage.query_costs(name, limit)
    rows: list[Row] = []
    async with aclosing(storage.scan(row_type, page_size=limit)) as scanned:
        async for row in scanned:
            rows.append(row)
            if len(rows) == limit:
                break
    return rows
