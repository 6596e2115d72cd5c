"""A password that is given beside the URL, or that its function returns or shows, is nowhere in errors and logs."""

import asyncio
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from axon_storage import (
    LoopLocal,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    StorageError,
    TenantRouter,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.errors import InvalidArgumentError
from tests.accounts import without_password
from tests.security.reports import PASSWORD, chain, check_frames, check_log, check_report


def given(password: str) -> str:
    return password


async def fetched(password: str) -> str:
    return password


async def failing(password: str) -> str:
    answer = f"the token {password} has expired"
    raise LookupError(answer)


async def waiting(password: str) -> str:
    answer = f"the token {password}"
    await asyncio.sleep(3600)
    return answer


def no_text(password: str) -> Any:
    return password.encode()


WRONG: dict[str, Any] = {
    "a string": PASSWORD,
    "a function": partial(given, PASSWORD),
    "a coroutine function": partial(fetched, PASSWORD),
}
SCHEMES = ["postgresql", "mysql", "mysql+asyncmy", "oracle"]


async def _open(url: str, password: Any) -> None:
    async with open_storage(url, password=password, migrate=False, retry_attempts=1):
        pass


async def _from_url(url: str, password: Any) -> None:
    await StorageDispatcher.from_url(url, password=password, migrate=False, retry_attempts=1)


async def _loop_local(url: str, password: Any) -> None:
    storage = LoopLocal(url, password=password, migrate=False, retry_attempts=1)
    assert PASSWORD not in repr(storage)
    await storage.load_daemons()


async def _migrate(url: str, password: Any) -> None:
    engine = create_engine(url, password=password)
    assert PASSWORD not in f"{engine!r} {engine.url!r} {SqlRepository(engine)!r}"
    await schema.stamp(engine, "head", timeouts=schema.MigrationTimeouts(lock=0.001))


WAYS: list[Callable[[str, Any], Any]] = [_open, _from_url, _loop_local]


@pytest.mark.not_on("sqlite", "it has no password")
@pytest.mark.parametrize("kind", WRONG)
async def test_a_password_that_the_server_refuses(url: str, kind: str, full_log: pytest.LogCaptureFixture) -> None:
    without = without_password(make_url(url)).render_as_string()
    with pytest.raises(StorageConnectionError) as refused:
        await _open(without, WRONG[kind])
    check_report(refused.value, PASSWORD)
    check_frames(refused.value)
    check_log(full_log, PASSWORD)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("place", ["127.0.0.1:1/agents", "/agents?host=127.0.0.1:1&host=127.0.0.1:2"])
async def test_a_server_that_cannot_be_reached(way: Callable[[str, Any], Any], kind: str, place: str) -> None:
    with pytest.raises(StorageError) as refused:
        await way(f"postgresql://ada@{place}", WRONG[kind])
    check_report(refused.value, PASSWORD)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_function_that_fails(
    scheme: str, way: Callable[[str, Any], Any], full_log: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StorageConnectionError, match="the function for the password has raised LookupError") as failed:
        await way(f"{scheme}://ada@127.0.0.1:1/agents", partial(failing, PASSWORD))
    assert failed.value.transient
    _check_without_the_function(failed.value)
    check_log(full_log, PASSWORD)


async def test_a_migration_whose_function_fails() -> None:
    with pytest.raises(StorageConnectionError, match="has raised LookupError") as failed:
        await _migrate("postgresql://ada@127.0.0.1:1/agents", partial(failing, PASSWORD))
    _check_without_the_function(failed.value)


async def test_a_function_that_returns_no_text() -> None:
    with pytest.raises(StorageConnectionError, match="has returned bytes, not str") as failed:
        await _open("postgresql://ada@127.0.0.1:1/agents", partial(no_text, PASSWORD))
    assert not failed.value.transient
    _check_without_the_function(failed.value)


async def test_a_function_that_takes_too_long() -> None:
    engine = create_engine("postgresql://ada@127.0.0.1:1/agents", password=partial(waiting, PASSWORD))
    async with SqlRepository(engine, operation_timeout=0.1) as storage:
        with pytest.raises(StorageConnectionError, match="not done within") as failed:
            await storage.load_daemons()
    _check_without_the_function(failed.value)


async def test_a_call_that_is_cancelled_while_it_waits_for_the_function() -> None:
    opening = asyncio.create_task(_open("mysql://ada@127.0.0.1:1/agents", partial(waiting, PASSWORD)))
    await asyncio.sleep(0.1)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await opening
    _check_without_the_function(cancelled.value)


async def test_the_health_of_a_storage_whose_function_fails(full_log: pytest.LogCaptureFixture) -> None:
    engine = create_engine("postgresql://ada@127.0.0.1:1/agents", password=partial(failing, PASSWORD))
    async with SqlRepository(engine) as storage:
        health = await storage.health()
    assert "LookupError" in health.reasons[0].message
    assert PASSWORD not in f"{health!r} {health.reasons}"
    check_log(full_log, PASSWORD)


REFUSED: dict[str, tuple[str, Any, str]] = {
    "in the URL": (f"postgresql://ada:{PASSWORD}@h/agents", PASSWORD, "the database URL has a password, and"),
    "a parameter": (f"mysql://ada@h/agents?passwd={PASSWORD}", given, "the database URL has a password, and"),
    "SQLite": ("sqlite:///agents.db", PASSWORD, "SQLite has no password"),
    "bytes": ("postgresql://ada@h/agents", PASSWORD.encode(), "password must be a str, or a function"),
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_password_that_cannot_be_used(reason: str) -> None:
    url, password, message = REFUSED[reason]
    for way in (*WAYS, _migrate):
        with pytest.raises((StorageConnectionError, InvalidArgumentError), match=message) as refused:
            await way(url, password)
        check_report(refused.value, PASSWORD)


def test_a_router_that_cannot_be_made() -> None:
    url = "postgresql://ada@127.0.0.1:1/agents"
    with pytest.raises(InvalidArgumentError) as refused:
        TenantRouter(url, {"a": url}, catalogue_seconds=-1, password=PASSWORD)
    check_report(refused.value, PASSWORD)


def _check_without_the_function(error: BaseException) -> None:
    """Check that no text of an error shows the password, and that it has no frame of a function for the password."""
    check_report(error, PASSWORD)
    check_frames(error)
    functions = {frame.f_code.co_name for each in chain(error) for frame, _ in traceback.walk_tb(each.__traceback__)}
    assert functions.isdisjoint({"failing", "waiting", "no_text"})
