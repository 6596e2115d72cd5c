"""Distribution: the tables are distributed over the nodes of a cluster, by tenant."""

from sqlalchemy import Connection

from axon_storage.dialects import Distribution, UnsupportedServer, dialect_of
from axon_storage.errors import InvalidArgumentError, StorageConnectionError
from axon_storage.schema.revisions import current_revision, revision_problem
from axon_storage.sql.tables import VERSION_TABLE, metadata

_SECURED = (
    "row-level security is on, and Citus has no policies like these for distributed tables: run"
    " `axon-storage migrate secure --off` first"
)
TABLE_NAMES = tuple(table.name for table in metadata.sorted_tables)


def distribute(connection: Connection, shards: int | None) -> list[str]:
    """Distribute every table that is not yet; return their names."""
    dialect = dialect_of(connection.dialect)
    found, is_secured = current_revision(connection), dialect.is_secured(connection, TABLE_NAMES)
    connection.rollback()
    if problem := revision_problem(found, allow_ahead=False):
        raise StorageConnectionError(problem)
    if is_secured:
        raise InvalidArgumentError(_SECURED)
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        return list(dialect.distribute(connection, TABLE_NAMES, shards))
    except (UnsupportedServer, NotImplementedError) as refused:
        reason = str(refused) or f"{dialect.title} has no distributed tables; PostgreSQL with Citus has them"
        raise InvalidArgumentError(reason) from None


def distribute_new_table(connection: Connection, name: str) -> None:
    """Distribute a table that a revision has created, if the others are distributed."""
    dialect_of(connection.dialect).distribute_new_table(connection, name)


def distribution(connection: Connection) -> Distribution | None:
    """Return which tables are distributed; None if the server cannot distribute tables."""
    return dialect_of(connection.dialect).distribution(connection, [*TABLE_NAMES, VERSION_TABLE])


def differences(connection: Connection) -> list[str]:
    """Return a line for each table that is not distributed although another one is."""
    found = distribution(connection)
    if found is None or not found.tables:
        return []
    missing = [name for name in (*TABLE_NAMES, VERSION_TABLE) if name not in found.tables]
    return [f"{name}, distribution: local; run `axon-storage migrate distribute` again" for name in missing]
