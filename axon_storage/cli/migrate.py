"""``axon-storage migrate``: the commands that upgrade, downgrade and check a database's schema."""

from typing import Annotated

import typer

from axon_storage import schema
from axon_storage.cli.options import dialect_of_url, missing_file, require_database, require_writable, shown_url
from axon_storage.cli.terminal import USAGE, confirm, fail, run, show, show_table, warn
from axon_storage.errors import StorageError
from axon_storage.schema import MigrationTimeouts
from axon_storage.schema.revisions import absolute_revision

app = typer.Typer(no_args_is_help=True, help="Upgrade, downgrade and check a database's schema.")

Url = Annotated[
    str,
    typer.Option(envvar="DATABASE_URL", show_default=False, help="The database, as scheme://user:password@host/name."),
]
Revision = Annotated[str, typer.Argument(help="A revision: a number, head, base, or a step such as +1 or -1.")]
Down = Annotated[bool, typer.Option("--down", help="Write the downgrade from the first revision to the second.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait while another process migrates.")]
Lock = Annotated[float, typer.Option("--lock-timeout", help="Seconds to wait for a lock on a table.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before tables and columns are dropped.")]
Statement = Annotated[float, typer.Option("--statement-timeout", help="Seconds that a statement may take.")]

App = Annotated[str, typer.Option("--app", metavar="ROLE", help="The account of the application.")]
Reader = Annotated[str | None, typer.Option("--reader", metavar="ROLE", help="An account that only reads.")]
Maintenance = Annotated[
    str | None, typer.Option("--maintenance", metavar="ROLE", help="An account that prunes and erases.")
]

SeesAll = Annotated[
    str | None, typer.Option("--maintenance", metavar="ROLE", help="A role that sees the rows of every tenant.")
]
Off = Annotated[bool, typer.Option("--off", help="Switch row-level security off.")]

Shards = Annotated[
    int | None, typer.Option("--shards", help="The number of parts of each table. Default: citus.shard_count.")
]

_DEFAULTS = MigrationTimeouts()


@app.command()
def upgrade(
    url: Url,
    revision: Revision = "head",
    wait: Wait = _DEFAULTS.schema_lock,
    lock: Lock = _DEFAULTS.lock,
    statement: Statement = _DEFAULTS.statement,
) -> None:
    """Upgrade the schema to a revision."""
    if missing_file(url) is None:
        require_writable(url)
    timeouts = _timeouts(wait, lock, statement)
    run(schema.upgrade(url, revision, timeouts=timeouts), effect="the next upgrade completes it")
    _show_current(url)


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is a revision, not an option
def downgrade(
    url: Url,
    revision: Revision,
    *,
    yes: Yes = False,
    wait: Wait = _DEFAULTS.schema_lock,
    lock: Lock = _DEFAULTS.lock,
    statement: Statement = _DEFAULTS.statement,
) -> None:
    """Downgrade the schema to a revision. Asks first: tables and columns of later revisions are dropped."""
    require_writable(url)
    timeouts = _timeouts(wait, lock, statement)
    if not yes:
        revision = _confirm_downgrade(url, revision)
    run(schema.downgrade(url, revision, timeouts=timeouts), effect="run the command again to complete it")
    _show_current(url)


@app.command()
def stamp(url: Url, revision: Revision) -> None:
    """Set the recorded revision of the database without changing its tables."""
    require_writable(url)
    run(schema.stamp(url, revision))
    _show_current(url)


@app.command()
def current(url: Url) -> None:
    """Show the revision of the database."""
    if missing_file(url) is None:
        _show_current(url)
    else:  # opening it would create it
        show(_described(None))


@app.command()
def history() -> None:
    """List the revisions of this package."""
    show_table(["revision", "what it does"], schema.history())


@app.command()
def check(url: Url) -> None:
    """Compare the schema with this package's; exit with status 1 if they differ."""
    require_database(url)
    found = run(schema.current(url))
    if found != schema.head():
        fail(f"{_described(found)}; this package needs {schema.head()}")
    if lines := run(schema.differences(url)):
        fail("\n".join(lines))
    show(f"{_described(found)}: no difference")
    if distributed := _distributed(url):
        show(distributed)


@app.command()
def sql(
    url: Url,
    revisions: Annotated[str, typer.Argument(help="A revision, or two such as 0001:head.")] = "head",
    down: Down = False,
) -> None:
    """Print a migration as SQL, for a DBA to read and run. Does not connect to the database."""
    try:
        typer.echo(schema.script(url, revisions, down=down), nl=False)
    except StorageError as error:  # no connection is made, so an argument is wrong
        fail(str(error), USAGE)


@app.command()
def grants(url: Url, application: App, reader: Reader = None, maintenance: Maintenance = None) -> None:
    """Print the SQL that gives accounts the rights they need, for a DBA. Does not connect to the database.

    The application may read, save, delete and append rows. It may not change the schema or the rows that it has
    appended. The accounts must exist. On MySQL and MariaDB, an account is a name or name@host.
    """
    try:
        typer.echo(schema.grants(url, app=application, reader=reader, maintenance=maintenance), nl=False)
    except StorageError as error:  # no connection is made, so an argument is wrong
        fail(str(error), USAGE)


@app.command()
def secure(
    url: Url,
    *,
    maintenance: SeesAll = None,
    off: Off = False,
    wait: Wait = _DEFAULTS.schema_lock,
    lock: Lock = _DEFAULTS.lock,
) -> None:
    """Let PostgreSQL keep the tenants apart, by row-level security. The owner of the tables runs it.

    Storages name the tenants of each transaction by themselves. It is also needed after a migration from a script.
    """
    if off and maintenance is not None:
        fail("--maintenance names a role for row-level security, which --off switches off", USAGE)
    require_writable(url)
    timeouts = _timeouts(wait, lock, _DEFAULTS.statement)
    work = (
        schema.unsecure(url, timeouts=timeouts)
        if off
        else schema.secure(url, maintenance=maintenance, timeouts=timeouts)
    )
    run(work, effect="all tables were changed, or none")
    show(f"row-level security is {'off' if off else 'on'}")


@app.command()
def distribute(
    url: Url,
    *,
    shards: Shards = None,
    wait: Wait = _DEFAULTS.schema_lock,
    lock: Lock = _DEFAULTS.lock,
    statement: Statement = _DEFAULTS.statement,
) -> None:
    """Distribute the tables over the workers of a Citus cluster, by tenant. Run it on the coordinator."""
    require_writable(url)
    work = schema.distribute(url, shards=shards, timeouts=_timeouts(wait, lock, statement))
    for name in run(work, effect="run the command again to complete it"):
        show(f"distributed {name}")
    show(_distributed(url))


@app.command()
def adopt(url: Url, dry_run: DryRun = False) -> None:
    """Convert an AxonServer's PostgreSQL tables to this package's, with all rows."""
    dialect_of_url(url)
    findings = run(schema.adopt(url, dry_run=dry_run), effect="all tables were converted, or none")
    show_table(["table", "rows"], ((name, str(rows)) for name, rows in findings.rows.items()))
    for loss in findings.losses:
        warn(f"not kept: {loss}")
    if findings.refusals:
        fail("\n".join(["these values cannot be stored:", *findings.refusals]))
    if dry_run:
        show("can be adopted")
    else:
        _show_current(url)


def _confirm_downgrade(url: str, revision: str) -> str:
    """Ask before a downgrade to a revision, and return the number of that revision, or ``base``."""
    found, to = run(_resolve(url, revision))
    confirm(
        f"Downgrade {shown_url(url)} from {_described(found)} to {to}? "
        "The tables and columns that later revisions added are dropped, with their data."
    )
    return to


async def _resolve(url: str, revision: str) -> tuple[str | None, str]:
    found = await schema.current(url)
    return found, absolute_revision(revision, found)


def _distributed(url: str) -> str:
    """Describe how the tables are distributed; return an empty string if the server cannot distribute tables."""
    found = run(schema.distribution_of(url))
    return "" if found is None else str(found)


def _show_current(url: str) -> None:
    show(_described(run(schema.current(url))))


def _timeouts(wait: float, lock: float, statement: float) -> MigrationTimeouts:
    try:
        return MigrationTimeouts(schema_lock=wait, lock=lock, statement=statement)
    except StorageError as error:
        fail(str(error))


def _described(revision: str | None) -> str:
    if revision is None:
        return "no schema"
    return f"{revision} (head)" if revision == schema.head() else revision
