"""The checks that read: each takes a connection and yields findings."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

from sqlalchemy import Connection, literal, select

from axon_storage.dialects import Dialect, dialect_of, dotted
from axon_storage.model.findings import Finding, Status, ok_unless
from axon_storage.schema import distribution, drift
from axon_storage.schema.revisions import current_revision, head, revision_problem
from axon_storage.sql.tables import metadata

Check = Callable[[Connection], Iterable[Finding]]

_ROUND_TRIPS = 5
_SLOW_ROUND_TRIP = 0.02  # seconds
MIGRATE = "run `axon-storage migrate upgrade`"

_CLOCK_TOLERANCE = 1.0  # seconds


def round_trips(connection: Connection) -> Iterator[Finding]:
    """Measure the time of a statement that does nothing."""
    seconds = []
    for _number in range(_ROUND_TRIPS):
        start = time.perf_counter()
        connection.execute(select(literal(1))).scalar_one()
        seconds.append(time.perf_counter() - start)
    far = "every call takes some round trips: run the application closer to the database"
    took = median(seconds)
    yield ok_unless("reachable", f"{took * 1000:.1f} ms a round trip", warn=far if took > _SLOW_ROUND_TRIP else "")


def server_version(connection: Connection) -> Iterator[Finding]:
    """Compare the server's version with those that are tested."""
    dialect = _dialect(connection)
    version, tested = dialect.server_version(connection.dialect), dialect.tested_servers
    found = dotted(version)
    remedy = "" if dialect.is_tested(version) else f"this package is tested with {', '.join(tested)}"
    if not dialect.server_is_tested:
        remedy = f"this package is tested with a double of {dialect.title}, not with the server"
    yield ok_unless("server version", f"{dialect.title} {found}", warn=remedy)


def driver_version(connection: Connection) -> Iterator[Finding]:
    """Compare the driver's version with the one that is tested."""
    driver = connection.dialect.driver.removesuffix("_async")
    found, tested = version(driver), _dialect(connection).tested_drivers[driver]
    remedy = "" if f"{found}.".startswith(f"{tested}.") else f"this package is tested with {tested}"
    yield ok_unless("driver version", f"{driver} {found}", warn=remedy)


def read_only(connection: Connection) -> Iterator[Finding]:
    """Check that the server accepts writes."""
    refuses = _dialect(connection).is_read_only(connection)
    remedy = "connect to the primary server, or to a file that can be written" if refuses else ""
    yield ok_unless("read-only", "writes are refused" if refuses else "no", fail=remedy)


def durability(connection: Connection) -> Iterator[Finding]:
    """Find settings with which a commit can be lost."""
    problems = list(_dialect(connection).durability_problems(connection))
    for problem in problems:
        yield ok_unless("durability", problem, warn="a crash can lose committed rows: change this setting")
    if not _dialect(connection).durability_is_visible:
        yield _not_told("durability", connection)
    elif not problems:
        yield ok_unless("durability", "no setting is known that can lose a commit")


def settings(connection: Connection) -> Iterator[Finding]:
    """Report the settings that matter on this database."""
    yield from _dialect(connection).settings(connection)


def clock(connection: Connection) -> Iterator[Finding]:
    """Compare the server's clock with that of this machine."""
    before = datetime.now(UTC)
    there = _dialect(connection).clock(connection)
    if there is None:
        if not _dialect(connection).embedded:
            yield _not_told("clock", connection)
        return
    here = before + (datetime.now(UTC) - before) / 2
    seconds = (there - here).total_seconds()
    wrong = "ids and expiry times come from the application's clock: synchronize the clocks"
    found = f"the server's differs by {seconds:+.3f} s"
    yield ok_unless("clock", found, warn=wrong if abs(seconds) > _CLOCK_TOLERANCE else "")


def connections(connection: Connection, *, needed: int) -> Iterator[Finding]:
    """Compare the free connections of the server with what one process of the application may open."""
    count = _dialect(connection).connection_count(connection)
    if count is None:
        if not _dialect(connection).embedded:
            yield _not_told("connections", connection)
        return
    found = f"{count.open} of {count.whose} {count.maximum} are open, {count.free} are free"
    few = f"make the pool smaller, or raise {count.whose} limit" if count.free < needed else ""
    yield ok_unless("connections", f"{found}; a process opens up to {needed}", warn=few)


def pooler(connection: Connection) -> Iterator[Finding]:
    """Find a pooler between this process and the server."""
    has_pooler = _dialect(connection).has_pooler(connection)
    if has_pooler is None:
        return
    remedy = "migrate on a direct connection; in transaction mode, the URL must switch off the statement caches"
    yield ok_unless("pooler", "one is in between" if has_pooler else "none", warn=remedy if has_pooler else "")


def schema_revision(connection: Connection) -> Iterator[Finding]:
    """Compare the revision of the schema with this package's."""
    found = current_revision(connection)
    problem, _, remedy = (revision_problem(found, allow_ahead=False) or "").partition(": ")
    yield ok_unless("schema", problem or f"revision {found}, as this package needs", fail=remedy)


def tables(connection: Connection) -> Iterator[Finding]:
    """Compare the tables with those of this package."""
    if (found := current_revision(connection)) != head():
        reason = "the database has no schema" if found is None else "the schema has another revision"
        yield Finding("tables", Status.UNKNOWN, f"not compared, because {reason}", MIGRATE)
        return
    differences = drift.differences(connection)
    for difference in differences:
        slower = (", index " in difference and ": missing, not" in difference) or ", fillfactor: " in difference
        remedy = "`axon-storage migrate check` lists the differences; undo the change"
        yield Finding("tables", Status.WARN if slower else Status.FAIL, difference, remedy)
    if not differences:
        yield ok_unless("tables", "as this package defines them")


def dead_space(connection: Connection) -> Iterator[Finding]:
    """Find space that deleted and replaced rows take."""
    yield from _dialect(connection).dead_space(connection, list(metadata.tables))


def row_security(connection: Connection) -> Iterator[Finding]:
    """Tell whether the database keeps the tenants apart itself, and whether it does so for this account."""
    dialect = _dialect(connection)
    if not dialect.has_row_security:
        return
    name, names = "row-level security", list(metadata.tables)
    if not dialect.is_secured(connection, names):
        yield ok_unless(name, "off")
    elif privilege := dialect.unbound_because(connection):
        unbound = "use an account without this privilege, so that row-level security binds it"
        yield ok_unless(name, f"on, but this account has the privilege {privilege}", warn=unbound)
    elif dialect.binds_tenants(connection, names):
        yield ok_unless(name, "on: this account sees the rows of the tenants that a call names")
    else:
        yield ok_unless(name, "on: this account is one for maintenance, which sees the rows of every tenant")


def distributed(connection: Connection) -> Iterator[Finding]:
    """Tell which tables are distributed over the nodes of a cluster, if the server can distribute tables."""
    if (found := distribution.distribution(connection)) is None:
        return
    local = distribution.differences(connection)
    complete = "some tables are local: run `axon-storage migrate distribute` again"
    yield ok_unless("distribution", str(found), fail=complete if local else "")


def _not_told(name: str, connection: Connection) -> Finding:
    return Finding(name, Status.UNKNOWN, f"{_dialect(connection).title} does not tell it to this account")


def _dialect(connection: Connection) -> Dialect:
    return dialect_of(connection.dialect)
