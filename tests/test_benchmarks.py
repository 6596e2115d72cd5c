"""The contenders of the benchmarks, on the present schema; `make bench` itself takes too long for each run."""

from contextlib import AsyncExitStack

import pytest
from sqlalchemy.engine import make_url

from axon_storage import schema
from benchmarks.agreement import agree
from benchmarks.contenders import CONTENDERS
from benchmarks.databases import fill
from tests.databases import Databases

KEPT = 30


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_the_contenders_store_and_read_the_same_rows(databases: Databases, target: str) -> None:
    async with AsyncExitStack() as stack:
        opened = {}
        for entry in CONTENDERS:
            if target in entry.databases and entry.group is None:
                url = await databases.empty(target)
                await schema.upgrade(url)
                await fill(make_url(url), KEPT)
                contender = await stack.enter_async_context(entry.load()(make_url(url)))
                opened[entry.name] = contender, make_url(url)
        await agree(opened, KEPT)
