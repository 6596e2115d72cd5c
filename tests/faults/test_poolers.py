"""pgbouncer: which versions need the cache parameters of a URL, and which of its errors are retried."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from axon_storage import (
    EventRow,
    QueryError,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    TraceRow,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Status
from axon_storage.testing.samples import sample
from tests.databases import skip_without
from tests.faults.private import server
from tests.servers import packages, pgbouncer

pytestmark = pytest.mark.xdist_group("pgbouncer")

PARAMETERS = "statement_cache_size=0&prepared_statement_cache_size=0"


@pytest.fixture(scope="module")
async def direct_url() -> AsyncIterator[str]:
    with server("postgresql") as (_, url):
        await schema.upgrade(url)
        yield url


@pytest.fixture(scope="module", params=["old", "new"])
def age(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(age: str, direct_url: str) -> Iterator[str]:
    """The URL of the database through a pooler in transaction mode, with fewer connections than its clients."""
    root = packages.pgbouncer(age)
    if root is None:
        skip_without("pgbouncer", f"the {age} one is not on this machine, and `make servers` could not get it")
    directory = Path(tempfile.mkdtemp(prefix="axon-pgbouncer-"))
    directory.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        process, url = pgbouncer.start(directory, root, direct_url)
        stack.callback(process.stop)
        yield url


async def _use(url: str) -> None:
    """Save and read from many tasks, so that transactions run in sessions in which others have prepared statements."""

    async def once(storage: StorageDispatcher, number: int) -> None:
        await storage.save_trace(sample(TraceRow, trace_id=number))
        assert await storage.get_trace(number) is not None
        await storage.load_traces(2)

    async with open_storage(url, migrate=False, retry_attempts=1) as storage:
        for _ in range(20):
            await asyncio.gather(*(once(storage, number) for number in range(8)))


async def test_every_version_works_with_the_parameters(url: str) -> None:
    await _use(f"{url}?{PARAMETERS}")


async def test_without_the_parameters_an_old_version_fails_and_names_them_and_a_new_one_works(
    url: str, age: str
) -> None:
    if age == "new":
        await _use(url)
        return
    with pytest.raises(QueryError, match=r"\[(26000|42P05)\]") as refused:
        await _use(url)
    assert f"add {PARAMETERS} to the URL" in str(refused.value)


@pytest.mark.parametrize(("database", "password"), [("nowhere", None), (None, "not-the-password")])
async def test_a_wrong_database_or_password_is_not_retried(
    url: str, database: str | None, password: str | None
) -> None:
    engine = create_engine(make_url(url).set(database=database, password=password))
    with pytest.raises(StorageConnectionError, match=r"does not exist|authentication failed") as refused:
        await SqlRepository(engine).load_traces(1)
    assert not refused.value.transient
    await engine.dispose()


async def test_doctor_finds_the_pooler_and_nothing_that_fails(url: str, direct_url: str) -> None:
    findings = {finding.name: finding async for finding in diagnose(f"{url}?{PARAMETERS}")}
    assert findings["pooler"].status is Status.WARN
    assert [finding for finding in findings.values() if finding.status is Status.FAIL] == []
    direct = {finding.name: finding async for finding in diagnose(direct_url)}
    assert direct["pooler"].status is Status.OK


async def test_no_limit_stays_in_the_sessions_of_a_pooler(url: str) -> None:
    await _use(f"{url}?{PARAMETERS}")
    engine = create_engine(f"{url}?{PARAMETERS}", statement_timeout=7, idle_transaction_timeout=7)
    async with engine.connect() as connection:
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert (await connection.execute(text(f"SHOW {setting}"))).scalar_one() == "0"
    await engine.dispose()


@pytest.mark.parametrize("parameters", [f"?{PARAMETERS}", ""], ids=["without caches", "with caches"])
async def test_the_short_lock_timeout_of_group_commits_stays_in_no_session_of_a_pooler(
    url: str, age: str, parameters: str
) -> None:
    if age == "old" and not parameters:
        pytest.skip("this version needs the parameters")
    async with open_storage(f"{url}{parameters}", migrate=False, retry_attempts=1) as storage:
        for _ in range(5):
            await asyncio.gather(*(storage.append_event(sample(EventRow)) for _ in range(20)))
        calls = (await storage.stats()).calls
        assert calls is not None
        assert calls.group_commits > 0
    engine = create_engine(f"{url}?{PARAMETERS}", pool_size=4)
    connections = [await engine.connect() for _ in range(2)]  # as many as the pooler has sessions
    found = [(await each.execute(text("SHOW lock_timeout"))).scalar_one() for each in connections]
    for each in connections:
        await each.close()
    await engine.dispose()
    assert found == ["0", "0"]
