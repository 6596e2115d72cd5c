"""The command ``axon-storage``: one module for each group of commands."""

from typing import Annotated

import typer

from axon_storage import __version__
from axon_storage.cli import migrate

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(migrate.app, name="migrate")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"axon-storage {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
]


@app.callback()
def _app(version: Version = False) -> None:
    """The persistence layer for AI-agent servers."""
