"""No error of connecting, and no log record, shows the password: neither in a text nor in a local variable."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from axon_storage import (
    InvalidArgumentError,
    LoopLocal,
    SqlRepository,
    StorageConnectionError,
    TenantRouter,
    create_engine,
    open_storage,
)
from axon_storage.routing.databases import Databases
from tests.security.reports import PASSWORD, check_frames, check_log, check_report

SPECIAL = "s3cr3t@/:?#%&"
"""A password that a URL writes in another way."""
SECRETS = (PASSWORD, SPECIAL, "s3cr3t")

Change = Callable[[URL], URL]


def _in_query(url: URL) -> URL:
    name = "passwd" if "asyncmy" in url.drivername else "password"
    return url.set(password=None).update_query_dict({name: PASSWORD})


WRONG: dict[str, Change] = {
    "wrong password": lambda url: url.set(password=PASSWORD),
    "wrong password with special characters": lambda url: url.set(password=SPECIAL),
    "wrong password as a parameter": _in_query,
    "unknown user": lambda url: url.set(username="nobody", password=PASSWORD),
    "unknown host": lambda url: url.set(host="no-such-host.invalid", password=PASSWORD),
    "invalid host": lambda url: url.set(host="a..b", password=PASSWORD),
    "refused connection": lambda url: url.set(port=1, password=PASSWORD),
    "port out of range": lambda url: url.set(port=99_999, password=PASSWORD),
    "unknown database": lambda url: url.set(database="nowhere"),
    "TLS": lambda url: url.set(password=PASSWORD).update_query_dict({"sslmode": "verify-full"}),
    "unknown parameter": lambda url: url.set(password=PASSWORD).update_query_dict({"nonsense": "1"}),
    "unknown secret": lambda url: url.update_query_dict({"sslpassword": PASSWORD, "access_tokens": PASSWORD}),
}


async def _open(url: str) -> None:
    async with open_storage(url, migrate=False, retry_attempts=1):
        pass


@pytest.mark.not_on("sqlite", "it has no password")
@pytest.mark.parametrize("reason", WRONG)
async def test_a_connection_that_fails(url: str, target: str, reason: str, full_log: pytest.LogCaptureFixture) -> None:
    if reason == "unknown database" and "oracle" in target:
        pytest.skip("the double serves every name")
    changed = WRONG[reason](make_url(url)).render_as_string(hide_password=False)
    own = str(make_url(url).password)
    with pytest.raises(StorageConnectionError) as refused:
        await _open(changed)
    check_report(refused.value, *SECRETS, own)
    check_frames(refused.value)
    check_log(full_log, *SECRETS, own)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


NETWORKED = ["postgresql", "mysql", "mysql+asyncmy", "oracle"]


@pytest.mark.parametrize("scheme", NETWORKED)
async def test_a_call_that_times_out_while_it_connects(scheme: str, silent: int) -> None:
    engine = create_engine(f"{scheme}://ada:{PASSWORD}@127.0.0.1:{silent}/agents")
    async with SqlRepository(engine, operation_timeout=0.1) as storage:
        with pytest.raises(StorageConnectionError, match="not done within") as refused:
            await storage.load_daemons()
    check_report(refused.value, PASSWORD)
    check_frames(refused.value)


@pytest.mark.parametrize("scheme", NETWORKED)
async def test_a_call_that_is_cancelled_while_it_connects(scheme: str, silent: int) -> None:
    opening = asyncio.create_task(_open(f"{scheme}://ada:{PASSWORD}@127.0.0.1:{silent}/agents"))
    await asyncio.sleep(0.1)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await opening
    check_report(cancelled.value, PASSWORD)


@pytest.mark.not_on("sqlite", "it has no password")
async def test_the_health_of_a_database_that_refuses_the_password(url: str, full_log: pytest.LogCaptureFixture) -> None:
    engine = create_engine(make_url(url).set(password=PASSWORD))
    async with SqlRepository(engine) as storage:
        health = await storage.health()
        assert health.reasons
        shown = f"{health!r} {health.reasons} {storage!r} {storage.database} {storage.engine!r}"
    assert PASSWORD not in shown
    check_log(full_log, PASSWORD)


_DOWN = f"postgresql://ada:{PASSWORD}@127.0.0.1:1/agents"


async def test_the_errors_of_a_loop_local_storage() -> None:
    storage = LoopLocal(_DOWN, retry_attempts=1)
    with pytest.raises(StorageConnectionError) as refused:
        await storage.load_daemons()
    check_report(refused.value, PASSWORD)
    assert PASSWORD not in f"{storage!r} {await storage.health()!r}"


@pytest.mark.parametrize(
    "databases", [{"a": _DOWN}, "postgresql://ada:" + PASSWORD + "@127.0.0.1:1/{tenant}", lambda _: _DOWN]
)
@pytest.mark.parametrize("home_is_down", [False, True])
async def test_the_errors_of_a_router(databases: Databases, home_is_down: bool, tmp_path: Path) -> None:
    home = _DOWN if home_is_down else f"sqlite:///{tmp_path}/home.db"
    router = TenantRouter(home, databases, place=lambda _: "a", retry_attempts=1)
    with pytest.raises(StorageConnectionError) as refused:
        await router.load_daemons()
    check_report(refused.value, PASSWORD)
    shown = f"{router!r} {await router.health()!r} {await router.for_tenant('default').health()!r}"
    assert PASSWORD not in shown
    with pytest.raises(InvalidArgumentError) as invalid:
        TenantRouter(home, databases, max_open=0)
    check_report(invalid.value, PASSWORD)
    await router.close()


@pytest.mark.parametrize("name", ["password", "passwd", "sslpassword", "wallet_password", "access_token", "dsn"])
def test_an_engine_does_not_show_a_secret_parameter(name: str) -> None:
    scheme = "postgresql" if name == "sslpassword" else "mysql"
    engine = create_engine(f"{scheme}://ada@127.0.0.1/agents?{name}={PASSWORD}")
    assert PASSWORD not in f"{engine!r} {engine.url!r} {SqlRepository(engine)!r}"


@pytest.mark.parametrize(
    "name", ["port", "statement_cache_size", "timeout", "command_timeout", "max_cached_statement_lifetime"]
)
async def test_a_message_does_not_quote_the_value_of_a_parameter(name: str) -> None:
    with pytest.raises(StorageConnectionError) as refused:
        await _open(f"postgresql://ada@127.0.0.1:1/agents?{name}={PASSWORD}")
    assert PASSWORD not in str(refused.value)
