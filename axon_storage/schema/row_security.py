"""Row-level security: switched on and off for every table, and the policies of a table that a revision creates."""

from sqlalchemy import Connection

from axon_storage.dialects import UnsupportedServer, dialect_of
from axon_storage.errors import InvalidArgumentError, StorageConnectionError
from axon_storage.schema.revisions import current_revision, revision_problem
from axon_storage.sql.tables import metadata

TABLE_NAMES = tuple(table.name for table in metadata.sorted_tables)

_ELSEWHERE = "has no row-level security; only PostgreSQL has it"
_DISTRIBUTED = "the tables are distributed, and Citus has no policies like these for distributed tables"


def secure(connection: Connection, maintenance: str | None) -> None:
    """Secure every table, in one transaction. ``maintenance``: a role that sees every tenant; None keeps the roles."""
    _check(connection)
    dialect = dialect_of(connection.dialect)
    found = dialect.distribution(connection, TABLE_NAMES)
    connection.rollback()
    if found is not None and found.tables:
        raise InvalidArgumentError(_DISTRIBUTED)
    try:
        roles = [] if maintenance is None else [dialect.account(maintenance, connection.dialect.identifier_preparer)]
    except (UnsupportedServer, ValueError) as refused:
        raise InvalidArgumentError(f"maintenance: {refused}") from None
    with connection.begin():
        roles = roles or dialect.maintenance_roles(connection, TABLE_NAMES)
        for name in TABLE_NAMES:
            _run(connection, dialect.secure(connection, name, roles))


def unsecure(connection: Connection) -> None:
    """Undo :func:`secure`."""
    _check(connection)
    dialect = dialect_of(connection.dialect)
    with connection.begin():
        for name in TABLE_NAMES:
            _run(connection, dialect.unsecure(connection, name))


def secure_new_table(connection: Connection, name: str) -> None:
    """Secure a table that a revision has created, if the database is secured."""
    dialect = dialect_of(connection.dialect)
    if dialect.is_secured(connection, TABLE_NAMES):
        _run(connection, dialect.secure(connection, name, dialect.maintenance_roles(connection, TABLE_NAMES)))


def differences(connection: Connection) -> list[str]:
    """Return a line for each table whose row-level security is not what :func:`secure` makes."""
    dialect = dialect_of(connection.dialect)
    found = dialect.row_security_differences(connection, TABLE_NAMES)
    return [f"{table}, row-level security: {state}" for table, state in found]


def _check(connection: Connection) -> None:
    """Raise unless the database has row-level security, and the schema of this package."""
    dialect = dialect_of(connection.dialect)
    if not dialect.has_row_security:
        raise InvalidArgumentError(f"{dialect.title} {_ELSEWHERE}")
    found = current_revision(connection)
    connection.rollback()
    if problem := revision_problem(found, allow_ahead=False):
        raise StorageConnectionError(problem)


def _run(connection: Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)
