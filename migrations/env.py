"""Alembic's environment for all databases: runs the revisions on a connection passed from code, or on a URL."""

import asyncio
import logging
import os

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage.dialects import dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.engine.url import script_url
from axon_storage.schema.lock import MigrationTimeouts, run_with_schema_lock
from axon_storage.sql.tables import VERSION_TABLE, metadata


def _include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Restrict autogenerate to this package's tables; a host application may have others."""
    return kind != "table" or name in metadata.tables


def _run_migrations(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=_include_name,
        user_module_prefix="types.",
        compare_server_default=True,
        transactional_ddl=dialect_of(connection.dialect).upgrades_in_one_transaction or None,
    )
    with context.begin_transaction():
        context.run_migrations()


def _url() -> str:
    given = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True).get("url")
    url = given or os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("no database URL: set DATABASE_URL, or pass -x url=…")
    return str(url)


async def _run_online() -> None:
    engine = create_engine(_url())
    try:
        if _changes_schema():
            # no retry, because a second run of a step such as -1 would go one revision too far
            await run_with_schema_lock(engine, "migrate", _run_migrations, MigrationTimeouts(), retry=False)
        else:
            await _run_without_lock(engine)
    finally:
        await engine.dispose()


async def _run_without_lock(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(_run_migrations)


def _changes_schema() -> bool:
    """Return whether the command changes the schema; others, such as ``current``, only read it."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _write_script() -> None:
    url, timeouts = script_url(_url()), MigrationTimeouts()
    dialect = dialect_of(url.get_dialect()())
    context.configure(
        url=url,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        transactional_ddl=dialect.upgrades_in_one_transaction or None,
    )
    migration = context.get_context()
    # a script needs no RETURNING, which on Oracle would require a bind variable
    migration.dialect.insert_returning = False
    if dialect.script_begins:
        migration.impl.static_output(dialect.script_begins)
    for setting in dialect.migration_settings(timeouts.lock, timeouts.statement):
        context.execute(setting)
    with context.begin_transaction():
        context.run_migrations()
    if dialect.script_ends:
        context.execute(dialect.script_ends)


if context.is_offline_mode():
    _write_script()
elif "connection" in context.config.attributes:
    _run_migrations(context.config.attributes["connection"])
else:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s [%(name)s] %(message)s")
    asyncio.run(_run_online())
