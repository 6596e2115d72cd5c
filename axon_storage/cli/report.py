"""``axon-storage report``: a page with the costs, traces, events and sizes of a storage."""

from pathlib import Path
from typing import Annotated

import typer

from axon_storage import report
from axon_storage.cli.formats import size
from axon_storage.cli.options import Json, Url, opened
from axon_storage.cli.terminal import printable, run, show, show_json

Out = Annotated[Path, typer.Option("--out", help="The HTML file to write; an existing file is replaced.")]
Days = Annotated[int, typer.Option("--days", min=1, max=report.MAX_DAYS, help="The number of days to report on.")]
OneTenant = Annotated[
    str | None,
    typer.Option("--tenant", show_default="all tenants", help="The tenant to report on."),
]


def write_report(url: Url, out: Out, days: Days = 30, tenant: OneTenant = None, *, as_json: Json = False) -> None:
    """Write a report about the last days as one HTML page.

    The page loads nothing from the network. It shows costs by day, flow and backend, traces by hour with their
    errors and latency, events by topic, and the growth and size of the tables. It needs the extra `report`.
    """
    written = run(_write(url, out, days, tenant), effect="no file was written")
    if as_json:
        show_json({"file": str(out), "bytes": written})
    else:
        show(f"{printable(str(out))}: {size(written)}")


async def _write(url: str, out: Path, days: int, tenant: str | None) -> int:
    """Write the page, and return its size in bytes."""
    async with opened(url) as storage:
        page = await report.html(storage, days=days, tenants=None if tenant is None else [tenant])
    return out.write_bytes(page.encode())  # noqa: ASYNC240  # one file at the end of the command
