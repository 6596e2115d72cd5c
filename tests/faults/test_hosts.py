"""URLs with several hosts: which of them a connection is made to, and what is told if none can be used."""

import asyncio
import re
import socket
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from axon_storage import (
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    create_engine,
    open_storage,
    operation_timeout,
    schema,
)
from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Status
from axon_storage.testing.samples import sample
from tests.accounts import run
from tests.databases import Databases
from tests.faults.private import with_hosts
from tests.servers.process import free_port
from tests.telemetry import Telemetry, attributes_of


@pytest.fixture(params=["postgresql", "mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
def target(request: pytest.FixtureRequest) -> str:
    """Not Oracle, whose descriptions of connections list addresses, nor SQLite."""
    return str(request.param)


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that accepts connections and never answers, as a stopped server does."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def dead() -> str:
    """Return a host that refuses connections."""
    return f"127.0.0.1:{free_port()}"


async def test_a_host_that_refuses_connections_is_passed_over(url: str) -> None:
    async with open_storage(with_hosts(url, dead(), None), retry_attempts=1) as storage:
        await storage.save_session(sample(SessionRow))
        assert await storage.is_healthy()
        assert await storage.load_sessions("name") == [sample(SessionRow)]


async def test_a_host_that_does_not_answer_leaves_time_for_the_others_and_is_tried_last_from_then_on(
    url: str, silent: str
) -> None:
    async with SqlRepository(create_engine(with_hosts(url, silent, None), connect_timeout=2)) as storage:
        await storage.save_session(sample(SessionRow))
        with operation_timeout(0.9):  # less than the share of the host that does not answer
            await asyncio.gather(*(storage.load_daemons() for _ in range(4)))


async def test_a_call_that_ends_while_a_host_does_not_answer_gets_further_when_it_is_repeated(
    url: str, silent: str
) -> None:
    async with SqlRepository(create_engine(with_hosts(url, silent, None), connect_timeout=60)) as storage:
        with operation_timeout(0.3), pytest.raises(StorageConnectionError, match="a connection"):
            await storage.load_daemons()
        await storage.load_daemons()


async def test_the_error_names_what_each_host_has_answered(url: str, silent: str) -> None:
    refused = dead()
    engine = create_engine(with_hosts(url, refused, silent), connect_timeout=0.6)
    async with SqlRepository(engine) as storage:
        with operation_timeout(20), pytest.raises(StorageConnectionError) as caught:
            await storage.load_daemons()
    message = str(caught.value)
    assert caught.value.transient
    assert f"host {refused}: " in message
    assert f"host {silent}: no answer" in message
    assert str(make_url(url).password) not in message


async def test_a_permanent_error_is_told_at_once(url: str) -> None:
    wrong = make_url(url).set(password="wrong")
    async with SqlRepository(create_engine(with_hosts(wrong, None, dead()))) as storage:
        with pytest.raises(StorageConnectionError) as caught:
            await storage.load_daemons()
    assert not caught.value.transient
    assert not str(caught.value).startswith("connection error: load_daemons: host")


@pytest.mark.parametrize("target", ["postgresql"])  # elsewhere the whole server would be read-only
async def test_a_server_that_cannot_write_is_used_only_if_the_url_allows_it(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    await run(url, [f"ALTER DATABASE {make_url(url).database} SET default_transaction_read_only = on"])
    for hosts in ((None, None), (None,)):
        refusing = with_hosts(url, *hosts, target_session_attrs="read-write")
        with pytest.raises(StorageConnectionError, match="not what target_session_attrs asks for"):
            async with open_storage(refusing, retry_attempts=2):
                pass
    for wanted in ("any", "read-only", "primary"):
        async with open_storage(with_hosts(url, None, None, target_session_attrs=wanted)) as storage:
            assert await storage.load_daemons() == []


async def test_doctor_and_migrations_take_several_hosts(databases: Databases, target: str) -> None:
    url = with_hosts(await databases.empty(target), dead(), None)
    await schema.upgrade(url)
    found = [finding async for finding in diagnose(url)]
    assert not [finding for finding in found if finding.status is Status.FAIL]
    assert not re.search(str(make_url(url).password), repr(found))


async def test_a_storage_shows_its_hosts_and_no_secret(url: str) -> None:
    refused = dead()
    async with open_storage(with_hosts(url, refused, None)) as storage:
        assert refused.partition(":")[2] in repr(storage)
        assert str(make_url(url).password) not in repr(storage)


async def test_spans_have_the_host_that_is_in_use(url: str) -> None:
    telemetry, own = Telemetry(), make_url(url)
    async with SqlRepository(create_engine(with_hosts(url, dead(), None)), **telemetry.options) as storage:
        await storage.load_daemons()
        await storage.load_daemons()
    _, span = telemetry.named("load_daemons")  # the first began before there was a connection
    attributes = attributes_of(span)
    assert (attributes["server.address"], attributes["server.port"]) == (own.host, own.port)
