"""``axon-storage show`` and ``axon-storage traces``: the rows of one table."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Annotated, Any

import typer

from axon_storage.backend import StorageBackend
from axon_storage.cli.formats import cell, headers_of, moment, row_json
from axon_storage.cli.options import (
    DEFAULT_TENANT,
    Flow,
    Json,
    KeyringFile,
    Limit,
    Tenant,
    Topic,
    Url,
    opened,
    row_type_of,
    tenant_of,
)
from axon_storage.cli.terminal import note, quoted, run, show_json_text, show_table
from axon_storage.dispatcher import StorageDispatcher
from axon_storage.errors import QueryError
from axon_storage.model.rows import (
    AuditRow,
    CostRow,
    EventRow,
    Recorded,
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
    keyring: KeyringFile = None,
    as_json: Json = False,
) -> None:
    """Show rows of one table and one tenant.

    The newest traces and append-only rows come first; other rows are in the order of their keys. The former begin
    with the time at which they were first saved. Long values are shortened. With --json every row is printed whole,
    one JSON object on each line, which begins with the row's id and timestamp if it has them.
    """
    row_type, tenant = row_type_of(table), tenant_of(tenant)
    _check_filters(row_type, flow, topic)
    _print(row_type, tenant, *run(_read(opened(url, keyring), row_type, tenant, limit, flow or topic)), as_json=as_json)


def traces(
    url: Url,
    *,
    tenant: Tenant = DEFAULT_TENANT,
    limit: Limit = 20,
    flow: Flow = None,
    keyring: KeyringFile = None,
    as_json: Json = False,
) -> None:
    """Show the newest traces of one tenant.

    They are shown with their time, outcome, duration, tokens and errors. It is the same as `show traces`.
    """
    tenant = tenant_of(tenant)
    _print(TraceRow, tenant, *run(_read(opened(url, keyring), TraceRow, tenant, limit, flow)), as_json=as_json)


def _check_filters(row_type: type[Row], flow: str | None, topic: str | None) -> None:
    if flow is not None and row_type not in {TraceRow, CostRow}:
        raise typer.BadParameter("only traces and costs have a --flow")
    if topic is not None and row_type is not EventRow:
        raise typer.BadParameter("only events have a --topic")


async def _read(
    opening: AbstractAsyncContextManager[StorageDispatcher],
    row_type: type[Row],
    tenant: str,
    limit: int,
    name: str | None,
) -> tuple[Sequence[Row | Recorded[Row]], list[str]]:
    """Return the rows with this flow or topic (None: all) and, if there are none, the tenants that have rows."""
    async with opening as storage:
        rows: list[Row | Recorded[Row]] = []
        async with aclosing(_rows_of(storage.for_tenant(tenant), row_type, limit, name)) as found:
            async for row in found:
                rows.append(row)
                if len(rows) == limit:
                    break
        if rows:
            return rows, []
        try:
            return rows, await storage.tenant_ids()
        except QueryError:  # row-level security shows this account one tenant at a time
            return rows, []


def _print(
    row_type: type[Row], tenant: str, rows: Sequence[Row | Recorded[Row]], tenants: list[str], *, as_json: bool
) -> None:
    if as_json:
        for row in rows:
            show_json_text(row_json(row))
    elif rows:
        show_table(*_table(row_type, rows))
    if not rows:
        others = f"; tenants with rows: {', '.join(tenants[:10])}" if tenants else ""
        note(f"tenant {quoted(tenant)} has no such rows in {row_type.TABLE}{others}")


def _table(row_type: type[Row], rows: Sequence[Row | Recorded[Row]]) -> tuple[list[str], list[list[str]]]:
    """Return headers and cells: the moment of each row that has one, and the chosen fields."""
    names = _COLUMNS.get(row_type) or headers_of(row_type)
    moments = ["time"] if isinstance(rows[0], Recorded) else []
    return [*moments, *names], [_cells(row, names) for row in rows]


def _cells(row: Row | Recorded[Row], names: Sequence[str]) -> list[str]:
    if isinstance(row, Recorded):
        return [moment(row.timestamp), *_cells(row.row, names)]
    return [cell(getattr(row, name)) for name in names]


def _rows_of(
    storage: StorageBackend, row_type: type[Row], limit: int, name: str | None
) -> AsyncGenerator[Row | Recorded[Any], None]:
    """Yield rows of a type: traces and append-only rows the newest first, others in the order of their keys."""
    if row_type is TraceRow:
        return storage.iter_traces(flow=name, reverse=True, page_size=limit)
    if row_type is AuditRow:
        return storage.iter_audit(reverse=True, page_size=limit)
    if row_type is EventRow:
        return storage.iter_events(topic=name, reverse=True, page_size=limit)
    if row_type is CostRow:
        return storage.iter_costs(flow=name, reverse=True, page_size=limit)
    return storage.scan(row_type, page_size=limit)
