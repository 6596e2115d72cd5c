"""Databases for the tests: new empty ones, and one of each kind that is kept for the whole run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import create_engine, schema
from axon_storage.sql.tables import metadata
from axon_storage.testing.ephemeral import FILLED_TABLES
from tests.accounts import SECRET, Account, run
from tests.servers import GIVEN, NOT_EXERCISED, ORACLES, Servers, UnavailableError, citus

TARGETS = {
    "sqlite": ("sqlite", ""),
    "postgresql": ("postgresql", ""),
    "mariadb": ("mariadb", ""),
    "mysql": ("mysql", ""),
    "mariadb-asyncmy": ("mariadb", "+asyncmy"),
    "mysql-asyncmy": ("mysql", "+asyncmy"),
} | {name: (name, "") for name in (*ORACLES, *(["citus"] if "citus" in GIVEN else []))}
"""The targets of the conformance suite: a server, and a driver if it is not the server's default."""

POOLERS = {"postgresql-pgbouncer": "new", "postgresql-pgbouncer-1.18": "old"}
"""Further targets of the conformance suite: PostgreSQL through a pgbouncer in transaction mode, by its age."""

WITHOUT_CACHES = "?statement_cache_size=0&prepared_statement_cache_size=0"
"""The parameters of a URL that the old pgbouncer needs."""

SERVERS = [target for target, (_, driver) in TARGETS.items() if not driver]
"""Each server once, with its default driver."""

REQUIRED = {name for name in os.environ.get("AXON_TEST_REQUIRE", "").replace(" ", "").split(",") if name}
"""Servers without which the run fails instead of skipping tests."""


def skip_without(name: str, reason: str) -> NoReturn:
    """Skip the test because something is missing, and report it at the end of the run; fail if it is required."""
    NOT_EXERCISED[name] = reason
    if name in REQUIRED:
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(f"{name}: {reason}")


class Databases:
    """Creates databases on the servers, and keeps one with the schema for each target."""

    def __init__(self, servers: Servers, directory: Path) -> None:
        self._servers, self._directory = servers, directory
        self._ready: dict[tuple[str, str], tuple[str, AsyncEngine]] = {}
        self._kept: list[AsyncEngine] = []
        self._made: list[tuple[str, str]] = []
        self._for_run: list[tuple[str, str]] = []

    async def empty(self, target: str, *, for_run: bool = False) -> str:
        """Create a database without a schema, and return its URL.

        It is dropped after the test, or with ``for_run`` at the end of the run.
        """
        name = f"axon_{uuid4().hex[:12]}"
        server, driver = TARGETS.get(target, ("postgresql", ""))
        if server == "sqlite":
            return f"sqlite:///{self._directory / name}.db"
        url = make_url(self._server_url(server))
        url = url.set(drivername=url.drivername + driver)
        kept = self._for_run if for_run else self._made
        if server == "citus":
            kept += await citus.create_database(self._server_url(server), name)
            return url.set(database=name).render_as_string(hide_password=False)
        if url.drivername == "oracle":  # a user of Oracle has a schema, which is what others call a database
            made = url.set(username=name, password=SECRET)
            statements = [
                f"CREATE USER {name} IDENTIFIED BY {SECRET}",
                f"GRANT CREATE SESSION, CREATE TABLE, UNLIMITED TABLESPACE TO {name}",
            ]
            drop = f"DROP USER {name} CASCADE"
        else:
            made = url.set(database=name)
            statements, drop = [f"CREATE DATABASE {name}"], f"DROP DATABASE {name}"
            if server == "postgresql":  # a pooler keeps sessions
                drop += " WITH (FORCE)"
        administrator = url.render_as_string(hide_password=False)
        await run(administrator, statements)
        kept.append((administrator, drop))
        return made.render_as_string(hide_password=False)

    async def ready(self, target: str, role: str = "owner") -> tuple[str, AsyncEngine]:
        """Return the URL and an engine of the target's database, with the newest schema and empty tables.

        ``role``: for which account: ``owner``, or one with the rights of the roles that are joined by ``+``.
        """
        if (target, "owner") not in self._ready:
            url = await self.empty(target, for_run=True)
            await schema.upgrade(url)
            if target == "citus":
                await schema.distribute(url, shards=citus.SHARDS)
            self._keep_ready(target, "owner", self._pooled(url, POOLERS[target]) if target in POOLERS else url)
        owner, engine = self._ready[target, "owner"]
        role = "owner" if target == "sqlite" else role
        if (target, role) not in self._ready:
            account = await self.account(target, owner, role.split("+"), for_run=True)
            self._keep_ready(target, role, account)
            async with self._ready[target, role][1].connect():
                pass  # a storage knows a variant of a database from the first connection of its engine
        async with engine.begin() as connection:
            for name in (await connection.execute(FILLED_TABLES)).scalars().all():
                await connection.execute(metadata.tables[name].delete())
        return self._ready[target, role]

    async def account(self, target: str, owner: str, roles: Sequence[str], *, for_run: bool = False) -> str:
        """Create an account with the rights of some roles on the database of ``owner``, and return its URL.

        It is dropped after the database.
        """
        account = Account(owner, self._server_url(TARGETS[target][0]))
        (self._for_run if for_run else self._made).insert(0, account.drop)
        await account.create(roles)
        return account.url

    def _keep_ready(self, target: str, role: str, url: str) -> None:
        self._ready[target, role] = url, self.keep(create_engine(url, pool_size=8, max_overflow=40))

    async def end_sessions(self, target: str, user: str) -> None:
        """End every session of a user of an Oracle database."""
        engine = create_engine(self._server_url(target))
        try:
            async with engine.connect() as connection:
                query = text("SELECT sid, serial# FROM v$session WHERE username = :username")
                for sid, serial in (await connection.execute(query, {"username": user.upper()})).all():
                    await connection.execute(text(f"ALTER SYSTEM KILL SESSION '{sid},{serial}' IMMEDIATE"))
        finally:
            await engine.dispose()

    def keep(self, engine: AsyncEngine) -> AsyncEngine:
        """Dispose of an engine at the end of the run."""
        self._kept.append(engine)
        return engine

    async def drop(self) -> None:
        """Drop the databases of one test; an Oracle double with many of them becomes slow."""
        while self._made:
            url, statement = self._made.pop()
            await run(url, [statement])

    async def close(self) -> None:
        """Close the connections and drop all databases, because the server may have been given by the user."""
        for engine in self._kept:
            await engine.dispose()
        self._made += self._for_run
        await self.drop()

    def _pooled(self, url: str, age: str) -> str:
        """Return the URL of a database through a pooler."""
        try:
            pooler = make_url(self._servers.pooler(age))
        except UnavailableError as error:
            skip_without("pgbouncer", str(error))
        pooled = make_url(url).set(host=pooler.host, port=pooler.port).render_as_string(hide_password=False)
        return pooled + (WITHOUT_CACHES if age == "old" else "")

    def _server_url(self, server: str) -> str:
        try:
            return self._servers.url(server)
        except UnavailableError as error:
            skip_without(server, str(error))
