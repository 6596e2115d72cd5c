"""The commands run on SQLite unless a test names other targets; ``axon`` runs one and returns its result."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from typer.testing import CliRunner, Result

from axon_storage import Row, SqlRepository
from axon_storage.cli import app
from tests.databases import Databases

R = TypeVar("R", bound=Row)

Axon = Callable[..., Awaitable[Result]]

_ID_AND_TIMESTAMP = re.compile(r'^\{"id":"[^"]+","timestamp":"[^"]+",')


def row_of(row_type: type[R], line: str) -> R:
    """Return the row of a line that ``show --json`` has printed."""
    return row_type.from_json(_ID_AND_TIMESTAMP.sub("{", line))


@pytest.fixture
def target() -> str:
    return "sqlite"


@pytest.fixture
async def repository(databases: Databases, target: str) -> SqlRepository:
    return SqlRepository((await databases.ready(target))[1])


@pytest.fixture
def axon(url: str) -> Axon:
    """Run a command on the target's database, in a thread, because it has an event loop of its own."""

    async def run(*arguments: str, url: str = url, **environment: str) -> Result:
        given = {name: None for name in os.environ if name.startswith("AXON_STORAGE_")}
        environment = {**given, "DATABASE_URL": url, **environment}  # type: ignore[dict-item]  # None unsets
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)

    return run
