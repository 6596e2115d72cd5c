"""An empty database of each kind, and repositories on them, kept for the whole run."""

import os
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import create_engine, schema
from axon_storage.sql.tables import metadata
from tests.servers import NOT_EXERCISED, ORACLES, Servers, UnavailableError

TARGETS = {
    "sqlite": ("sqlite", ""),
    "postgresql": ("postgresql", ""),
    "mariadb": ("mariadb", ""),
    "mysql": ("mysql", ""),
    "mariadb-asyncmy": ("mariadb", "+asyncmy"),
    "mysql-asyncmy": ("mysql", "+asyncmy"),
} | {name: (name, "") for name in ORACLES}
"""What the conformance suite runs on: a server and a driver other than its first."""

SERVERS = [target for target, (_, driver) in TARGETS.items() if not driver]
"""Each server once, with its first driver."""

REQUIRED = {name for name in os.environ.get("AXON_TEST_REQUIRE", "").replace(" ", "").split(",") if name}
"""What a run must not do without."""

SECRET = "throwaway1"


def skip_without(name: str, reason: str) -> NoReturn:
    """Skip the test for want of something, and say so at the end of the run; fail where it is required."""
    NOT_EXERCISED[name] = reason
    if name in REQUIRED:
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(f"{name}: {reason}")


class Databases:
    """Makes databases on the servers, and keeps one with the schema in it for each target."""

    def __init__(self, servers: Servers, directory: Path) -> None:
        self._servers, self._directory = servers, directory
        self._ready: dict[str, tuple[str, AsyncEngine]] = {}
        self._kept: list[AsyncEngine] = []
        self._made: list[tuple[str, str]] = []
        self._spared: list[tuple[str, str]] = []

    async def empty(self, target: str, *, spared: bool = False) -> str:
        """The URL of a new database without a schema, dropped after the test or, where ``spared``, at the run's end."""
        name = f"axon_{uuid4().hex[:12]}"
        server, driver = TARGETS[target]
        if server == "sqlite":
            return f"sqlite:///{self._directory / name}.db"
        url = make_url(self._server_url(server))
        url = url.set(drivername=url.drivername + driver)
        if url.drivername == "oracle":  # where a user is a schema, and a schema is what others call a database
            made = url.set(username=name, password=SECRET)
            statements = [
                f"CREATE USER {name} IDENTIFIED BY {SECRET}",
                f"GRANT CREATE SESSION, CREATE TABLE, UNLIMITED TABLESPACE TO {name}",
            ]
            drop = f"DROP USER {name} CASCADE"
        else:
            made = url.set(database=name)
            statements, drop = [f"CREATE DATABASE {name}"], f"DROP DATABASE {name}"
        administrator = url.render_as_string(hide_password=False)
        for statement in statements:
            await self._administer(administrator, statement)
        (self._spared if spared else self._made).append((administrator, drop))
        return made.render_as_string(hide_password=False)

    async def ready(self, target: str) -> tuple[str, AsyncEngine]:
        """The URL and engine of this target's database, its schema up and its tables empty."""
        if target not in self._ready:
            url = await self.empty(target, spared=True)
            await schema.upgrade(url)
            self._ready[target] = url, self.keep(create_engine(url, pool_size=8, max_overflow=40))
        url, engine = self._ready[target]
        async with engine.begin() as connection:
            for table in metadata.sorted_tables:
                await connection.execute(table.delete())
        return url, engine

    async def end_sessions(self, target: str, user: str) -> None:
        """Cut off every session of a user, on an Oracle, from the server's side."""
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
        """Drop the databases of one test: the fuller an Oracle double's dictionary, the longer it takes to read."""
        while self._made:
            await self._administer(*self._made.pop())

    async def close(self) -> None:
        """Give up the connections, and drop the databases: the server may not be ours."""
        for engine in self._kept:
            await engine.dispose()
        self._made += self._spared
        await self.drop()

    def _server_url(self, server: str) -> str:
        try:
            return self._servers.url(server)
        except UnavailableError as error:
            skip_without(server, str(error))

    @staticmethod
    async def _administer(url: str, statement: str) -> None:
        engine = create_engine(url)
        try:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                await connection.execute(text(statement))
        finally:
            await engine.dispose()
