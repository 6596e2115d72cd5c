"""pgbouncer in transaction mode, which gives each transaction another session: no tenant stays behind in one."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from axon_storage import EventRow, SessionRow, create_engine, open_storage
from axon_storage.testing.samples import sample
from tests.databases import skip_without
from tests.row_security.secured import Secured
from tests.servers import packages, pgbouncer

PARAMETERS = "statement_cache_size=0&prepared_statement_cache_size=0"


@pytest.fixture(params=["old", "new"])
def pooled(request: pytest.FixtureRequest, secured: Secured) -> Iterator[str]:
    """The URL of an application through a pooler with two connections."""
    root = packages.pgbouncer(request.param)
    if root is None:
        skip_without("pgbouncer", f"the {request.param} one is not on this machine")
    directory = Path(tempfile.mkdtemp(prefix="axon-pgbouncer-"))
    directory.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        process, url = pgbouncer.start(directory, root, secured.app)
        stack.callback(process.stop)
        yield f"{url}?{PARAMETERS}"


async def test_each_tenant_has_its_rows(pooled: str) -> None:
    async with open_storage(pooled, migrate=False, retry_attempts=1) as storage:

        async def use(tenant: str) -> None:
            view = storage.for_tenant(tenant)
            for number in range(5):
                await view.save_session(sample(SessionRow, tenant, key=str(number)))
                await view.append_event(sample(EventRow, tenant))
                assert len(await view.query_events(None, 99)) == number + 1
            async with view.transaction() as transaction:
                await transaction.save_session(sample(SessionRow, tenant, key="last"))
            assert len(await view.load_sessions("name")) == 6

        await asyncio.gather(*(use(f"tenant {number}") for number in range(8)))


async def test_the_next_user_of_a_session_has_no_tenant(pooled: str) -> None:
    async with open_storage(pooled, migrate=False) as storage:
        await asyncio.gather(*(storage.for_tenant(f"t{n}").append_event(sample(EventRow, f"t{n}")) for n in range(8)))
    engine = create_engine(pooled, pool_size=4)
    for _number in range(4):
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError, match=r"malformed array literal|unrecognized configuration parameter"):
                await connection.execute(text("SELECT * FROM event_history"))
    await engine.dispose()
