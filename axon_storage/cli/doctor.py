"""``axon-storage doctor``: checks of a database."""

from typing import Annotated

import typer

from axon_storage.cli.formats import document
from axon_storage.cli.options import Json, Url, dialect_of_url
from axon_storage.cli.terminal import FAILED, note, run, show_json, show_statuses
from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Finding, Status

PoolSize = Annotated[int, typer.Option(min=1, help="The pool_size of the application.")]
MaxOverflow = Annotated[int, typer.Option(min=0, help="The max_overflow of the application.")]


def doctor(url: Url, as_json: Json = False, pool_size: PoolSize = 15, max_overflow: MaxOverflow = 0) -> None:
    """Check a database, and say what to do about each problem.

    The checks are: whether the database can be reached, versions, settings, the schema, rights, free connections,
    and the time of a durable write. It writes five rows to the table axon_storage_pruning, and deletes them. Exits
    with status 1 if a check fails. Warnings do not change the status.
    """
    dialect_of_url(url)
    found = run(_findings(url, pool_size, max_overflow, shown=not as_json))
    if as_json:
        show_json([document(finding) for finding in found])
    counts = {status: sum(finding.status is status for finding in found) for status in Status}
    note(f"{counts[Status.FAIL]} failed, {counts[Status.WARN]} warnings, {counts[Status.UNKNOWN]} unknown")
    if counts[Status.FAIL]:
        raise typer.Exit(FAILED)


async def _findings(url: str, pool_size: int, max_overflow: int, *, shown: bool) -> list[Finding]:
    found = []
    async for finding in diagnose(url, pool_size=pool_size, max_overflow=max_overflow):
        found.append(finding)
        if shown:
            show_statuses([(finding.status, finding.name, finding.found, finding.remedy)])
    return found
