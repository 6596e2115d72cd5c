"""The command ``axon-storage``: one module for each group of commands."""

from typing import Annotated

import typer

from axon_storage import __version__
from axon_storage.cli import (
    audit,
    backup,
    bench,
    costs,
    doctor,
    files,
    keys,
    migrate,
    moves,
    prune,
    report,
    show,
    stats,
    tail,
    tenants,
    transfer,
)

# without rich, whose tables cut the names of options on a narrow terminal
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(migrate.app, name="migrate")
app.command()(stats.stats)
app.command()(doctor.doctor)
tenants.app.command()(moves.where)
tenants.app.command()(moves.move)
app.add_typer(tenants.app, name="tenants")
app.command("show")(show.show_rows)
app.command()(show.traces)
app.command()(tail.tail)
app.command()(costs.costs)
app.command()(prune.prune)
app.command()(transfer.copy)
app.command()(transfer.verify)
app.command()(files.export)
app.command("import")(files.import_file)
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.command("report")(report.write_report)
app.command("backup")(backup.backup_database)
app.command()(bench.bench)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"axon-storage {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
]


@app.callback()
def _app(version: Version = False) -> None:
    """The persistence layer for AI-agent servers.

    Exit statuses: 0 the work is done, and was checked; 1 it failed, or a check failed; 2 wrong usage; 3 there was
    nothing to do, or a comparison found differences; 130 ended by Ctrl-C; 143 ended by SIGTERM.
    """
