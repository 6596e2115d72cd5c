"""A PostgreSQL database with row-level security, and the accounts that use it."""

from typing import NamedTuple
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage import create_engine, schema
from axon_storage.sql.tables import metadata
from axon_storage.testing.ephemeral import FILLED_TABLES
from tests.accounts import SECRET, run
from tests.databases import Databases

TARGET = "postgresql"


class Secured(NamedTuple):
    """The URLs of a secured database: for a superuser, and for each account, and an engine for the superuser.

    ``owner``: the owner of the tables. ``app``: an application. ``whole``: an application with every right
    on the rows, so that it may also prune and erase, and is bound all the same. ``maintenance``: sees
    the rows of every tenant.
    """

    superuser: str
    owner: str
    app: str
    whole: str
    maintenance: str
    engine: AsyncEngine

    async def empty(self) -> None:
        """Delete every row."""
        async with self.engine.begin() as connection:
            for name in (await connection.execute(FILLED_TABLES)).scalars().all():
                await connection.execute(metadata.tables[name].delete())


async def owned_database(databases: Databases, *, for_run: bool = False) -> tuple[str, str]:
    """Create a database with an owner that is no superuser; return the URLs of a superuser and of the owner."""
    superuser = await databases.empty(TARGET, for_run=for_run)
    owner = f"owner_{uuid4().hex[:12]}"
    database = make_url(superuser).database
    await run(
        superuser, [f"CREATE ROLE {owner} LOGIN PASSWORD '{SECRET}'", f"ALTER DATABASE {database} OWNER TO {owner}"]
    )
    return superuser, as_role(superuser, owner)


async def secured_database(databases: Databases, *, for_run: bool = False) -> Secured:
    """Create a secured database with its accounts."""
    superuser, owner = await owned_database(databases, for_run=for_run)
    await schema.upgrade(owner)
    app, whole, maintenance = [
        await databases.account(TARGET, owner, roles, for_run=for_run)
        for roles in (["app"], ["app", "maintenance"], ["app", "maintenance"])
    ]
    rights = f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {make_url(whole).username}"
    await run(owner, [rights])
    await schema.secure(owner, maintenance=str(make_url(maintenance).username))
    engine = databases.keep(create_engine(superuser, pool_size=2))
    return Secured(superuser, owner, app, whole, maintenance, engine)


def as_role(url: str, role: str) -> str:
    """Return the URL for a role of the tests."""
    return make_url(url).set(username=role, password=SECRET).render_as_string(hide_password=False)


async def name_tenants(connection: AsyncConnection, *tenants: str) -> None:
    """Name the tenants of a transaction by hand."""
    await connection.execute(
        text("SELECT set_config('axon_storage.tenants', CAST(CAST(:tenants AS text[]) AS text), true)"),
        {"tenants": list(tenants)},
    )
