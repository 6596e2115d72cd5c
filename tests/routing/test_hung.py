"""A database that does not answer: its calls end in time, and it holds up no tenant of another database."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import make_url

from axon_storage import LoopLocal, SessionRow, StorageConnectionError, TenantRouter
from tests.faults.proxy import Proxy
from tests.routing.conftest import NewFile
from tests.routing.test_routing import keys, save

LONG = 60.0
"""A ``connect_timeout`` that no call of these tests may wait for."""

pytestmark = pytest.mark.timeout(50)


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The URL of a server that accepts connections and never answers."""
    gone = asyncio.Event()

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield f"postgresql://ada@127.0.0.1:{server.sockets[0].getsockname()[1]}/agents"
    gone.set()
    server.close()


async def test_a_call_waits_for_a_database_to_be_opened_no_longer_than_its_timeout(silent: str) -> None:
    storage = LoopLocal(silent, operation_timeout=0.3, connect_timeout=LONG)
    message = r"load_sessions: not done within 0.3 s, waiting for the database to be opened"
    for _ in range(2):
        with pytest.raises(StorageConnectionError, match=message) as late:
            await storage.load_sessions("s")
        assert late.value.transient
    with pytest.raises(
        StorageConnectionError, match=r"transaction: not done within 0.3 s, waiting for the database to"
    ):
        await storage.transaction().__aenter__()
    await storage.close()  # it cancels the opening


async def test_a_database_that_is_being_opened_holds_up_no_other_tenant(new_file: NewFile, silent: str) -> None:
    databases = {"a": new_file(), "h": silent}
    async with TenantRouter(
        new_file(), databases, place=lambda tenant: tenant[0], max_open=1, connect_timeout=LONG, operation_timeout=20
    ) as router:
        hung = [asyncio.create_task(keys(router, tenant)) for tenant in ("h1", "h2")]
        await asyncio.sleep(0.1)
        await save(router, "a1")
        assert not any(each.done() for each in hung)
        for each in hung:
            each.cancel()
        await asyncio.wait(hung)
        assert await keys(router, "a1") == ["name"]


async def test_a_home_database_that_does_not_answer_is_named(new_file: NewFile, silent: str) -> None:
    async with TenantRouter(
        silent, {"a": new_file()}, place=lambda _: "a", connect_timeout=LONG, operation_timeout=0.3
    ) as router:
        with pytest.raises(StorageConnectionError, match=r"not done within 0.3 s, waiting for the") as late:
            await save(router, "a1")
        assert late.value.transient


@pytest.mark.not_on("sqlite", "it has no server")
async def test_an_open_database_that_no_longer_answers_holds_up_no_other_tenant(new_file: NewFile, url: str) -> None:
    server = make_url(url)
    assert server.port is not None
    proxy = Proxy(server.port)
    async with proxy.running() as port:
        databases = {"a": new_file(), "h": server.set(port=port).render_as_string(hide_password=False)}
        async with TenantRouter(
            new_file(), databases, place=lambda tenant: tenant[0], max_open=1, operation_timeout=20
        ) as router:
            await save(router, "h1")
            proxy.flows.clear()
            hung = asyncio.create_task(keys(router, "h1"))
            await asyncio.sleep(0.1)
            for number in range(3):
                await save(router, "a1", str(number))
            assert not hung.done()
            proxy.flows.set()
            assert await hung == ["name"]
            assert isinstance(await router.for_tenant("h1").get_session("s", "name"), SessionRow)
