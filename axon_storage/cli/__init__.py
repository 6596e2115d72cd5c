"""``axon-storage migrate …``: the schema's life from a shell."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from axon_storage import __version__, schema
from axon_storage.errors import StorageError
from axon_storage.schema.lock import MigrationTimeouts

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
migrate = typer.Typer(no_args_is_help=True, help="Bring a database's schema up or down, and look at it.")
app.add_typer(migrate, name="migrate")

# without markup and emoji: what a database holds is shown as it is
_out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

Url = Annotated[
    str,
    typer.Option(envvar="DATABASE_URL", show_default=False, help="The database, as scheme://user:password@host/name."),
]
Revision = Annotated[str, typer.Argument(help="A revision: a number, head, base, or steps as +1 and -1.")]
Down = Annotated[bool, typer.Option("--down", help="Write the way down, from the first revision to the second.")]
Deployer = Annotated[float, typer.Option("--wait", help="Seconds to wait for another deployer.")]
Lock = Annotated[float, typer.Option("--lock-timeout", help="Seconds to wait for a lock on a table.")]
Statement = Annotated[float, typer.Option("--statement-timeout", help="Seconds a statement may take.")]

_TIMEOUTS = MigrationTimeouts()


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


@migrate.command()
def upgrade(
    url: Url,
    revision: Revision = "head",
    wait: Deployer = _TIMEOUTS.deployer,
    lock: Lock = _TIMEOUTS.lock,
    statement: Statement = _TIMEOUTS.statement,
) -> None:
    """Bring the schema up to a revision."""
    timeouts = MigrationTimeouts(deployer=wait, lock=lock, statement=statement)
    _run(schema.upgrade(url, revision, timeouts=timeouts))
    _out.print(_where(_run(schema.current(url))))


@migrate.command(context_settings={"ignore_unknown_options": True})  # -1 is no option
def downgrade(
    url: Url,
    revision: Revision,
    wait: Deployer = _TIMEOUTS.deployer,
    lock: Lock = _TIMEOUTS.lock,
    statement: Statement = _TIMEOUTS.statement,
) -> None:
    """Bring the schema down to a revision; what only later ones keep is lost."""
    timeouts = MigrationTimeouts(deployer=wait, lock=lock, statement=statement)
    _run(schema.downgrade(url, revision, timeouts=timeouts))
    _out.print(_where(_run(schema.current(url))))


@migrate.command()
def stamp(url: Url, revision: Revision) -> None:
    """Say that the database is at a revision, and change nothing else."""
    _run(schema.stamp(url, revision))
    _out.print(_where(_run(schema.current(url))))


@migrate.command()
def current(url: Url) -> None:
    """Tell which revision the database is at."""
    _out.print(_where(_run(schema.current(url))))


@migrate.command()
def history() -> None:
    """List the revisions of this package."""
    table = Table("revision", "what it does")
    for revision in schema.history():
        table.add_row(revision.number, revision.title)
    _out.print(table)


@migrate.command()
def check(url: Url) -> None:
    """Tell whether the schema is this package's, to the last collation; it ends with 1 where it is not."""
    found = _run(schema.current(url))
    if found != schema.head():
        _fail(f"{_where(found)}; this package needs {schema.head()}")
    if lines := _run(schema.differences(url)):
        _fail("\n".join(lines))
    _out.print(f"{_where(found)}: no difference")


@migrate.command()
def sql(
    url: Url,
    revisions: Annotated[str, typer.Argument(help="A revision, or two as 0001:head.")] = "head",
    down: Down = False,
) -> None:
    """Write the SQL for a DBA to read and run; nothing connects to the database."""
    try:
        typer.echo(schema.script(url, revisions, down=down), nl=False)
    except StorageError as error:
        _fail(str(error))


@migrate.command()
def adopt(
    url: Url,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and touch nothing.")] = False,
) -> None:
    """Turn an AxonServer's PostgreSQL tables into this package's, keeping every row."""
    findings = _run(schema.adopt(url, dry_run=dry_run))
    table = Table("table", "rows")
    for name, rows in findings.rows.items():
        table.add_row(name, str(rows))
    _out.print(table)
    for loss in findings.losses:
        _err.print(f"not kept: {loss}", style="yellow")
    if findings.refusals:
        _fail("\n".join(["these values do not fit:", *findings.refusals]))
    _out.print("can be adopted" if dry_run else _where(_run(schema.current(url))))


def _run(work: Coroutine[Any, Any, T]) -> T:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return asyncio.run(work)
    except StorageError as error:
        _fail(str(error))


def _where(revision: str | None) -> str:
    if revision is None:
        return "no schema"
    return f"{revision} (head)" if revision == schema.head() else revision


def _fail(message: str) -> NoReturn:
    _err.print(message, style="red")
    raise typer.Exit(1)
