"""Runs Alembic for one tree of revisions on every database: on a connection given from code, or on a URL."""

import asyncio
import logging
import os

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage.dialects import dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.engine.url import script_url
from axon_storage.schema.lock import MigrationTimeouts, deploy
from axon_storage.sql.tables import VERSION_TABLE, metadata


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Autogenerate sees our tables alone, whatever else a host application keeps beside them."""
    return kind != "table" or name in metadata.tables


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=_is_ours,
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
        raise SystemExit("which database? Set DATABASE_URL, or give -x url=…")
    return str(url)


async def _online() -> None:
    engine = create_engine(_url())
    try:
        if _changes():
            await deploy(
                engine, "migrate", _run, MigrationTimeouts(), again=False
            )  # a step such as -1 would go too far
        else:
            await _read(engine)
    finally:
        await engine.dispose()


async def _read(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(_run)


def _changes() -> bool:
    """Whether the command changes the schema, and does not only look at it."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _offline() -> None:
    url, patience = script_url(_url()), MigrationTimeouts()
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
    # nobody reads what an INSERT gives back, and on Oracle it would need a variable
    migration.dialect.insert_returning = False
    if dialect.script_begins:
        migration.impl.static_output(dialect.script_begins)
    for setting in dialect.migration_settings(patience.lock, patience.statement):
        context.execute(setting)
    with context.begin_transaction():
        context.run_migrations()
    if dialect.script_ends:
        context.execute(dialect.script_ends)


if context.is_offline_mode():
    _offline()
elif "connection" in context.config.attributes:
    _run(context.config.attributes["connection"])
else:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s [%(name)s] %(message)s")
    asyncio.run(_online())
