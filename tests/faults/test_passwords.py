"""Passwords that are given beside the URL: a function is asked for each connection, on every driver."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url

from axon_storage import (
    LoopLocal,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.testing.samples import sample
from tests.accounts import SECRET, run, without_password
from tests.databases import Databases

NEXT = "throwaway2"


class Rotated:
    """A password that changes, and how often it was asked for."""

    def __init__(self, password: str) -> None:
        self.password, self.asked = password, 0

    def ask(self) -> str:
        self.asked += 1
        return self.password

    async def fetch(self) -> str:
        await asyncio.sleep(0)
        return self.ask()

    def ask_or_fetch(self) -> str | Awaitable[str]:
        return self.fetch() if self.asked % 2 else self.ask()


@pytest.fixture
async def account(databases: Databases, target: str) -> URL:
    """The URL of an account whose password the test may change."""
    made = await databases.empty(target)
    await schema.upgrade(made)
    if target.startswith("oracle"):  # there a database is an account
        return make_url(made)
    return make_url(await databases.account(target, made, ["app"]))


async def _rotate(target: str, owner: str, account: URL, password: str) -> None:
    name = account.username
    if target == "postgresql":
        await run(owner, [f"ALTER ROLE {name} PASSWORD '{password}'"])
    elif target.startswith("oracle"):
        await run(_text(account), [f"ALTER USER {name} IDENTIFIED BY {password}"])
    else:
        await run(owner, [f"ALTER USER {name} IDENTIFIED BY '{password}'"])


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


async def test_each_connection_is_made_with_the_password_of_its_moment(target: str, url: str, account: URL) -> None:
    rotated = Rotated(SECRET)
    connected: list[str] = []
    engine = create_engine(without_password(account), password=rotated.ask_or_fetch)
    event.listen(engine.sync_engine, "connect", lambda *_: connected.append(rotated.password))
    async with SqlRepository(engine) as storage:
        await storage.save_session(sample(SessionRow))
        await storage.load_daemons()
        assert connected == [SECRET]
        await _rotate(target, url, account, NEXT)
        rotated.password = NEXT
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, key="held"))
            await storage.load_daemons()  # on a second connection
        assert connected == [SECRET, NEXT]
        assert await storage.is_healthy()  # on a connection of its own
        assert len(connected) == 3
        await asyncio.gather(*(storage.save_session(sample(SessionRow, key=f"{n}")) for n in range(20)))
        assert len(connected) > 3  # a group commit has a pool of its own
        assert rotated.asked == len(connected)


async def test_a_schema_function_asks_for_the_password_of_an_engine(url: str) -> None:
    own, rotated = make_url(url), Rotated(make_url(url).password or "")
    engine = create_engine(without_password(own), password=rotated.fetch)
    try:
        await schema.check(engine)
        asked = rotated.asked
        await schema.stamp(engine, "head")  # with the schema lock, and on connections of its own
        assert rotated.asked > asked > 0
    finally:
        await engine.dispose()


async def test_every_way_of_opening_a_storage_takes_a_password(url: str) -> None:
    own = make_url(url)
    without, rotated = _text(without_password(own)), Rotated(str(own.password))
    async with open_storage(without, password=rotated.ask) as storage:
        await storage.save_session(sample(SessionRow))
    async with await StorageDispatcher.from_url(without, password=rotated.fetch) as storage:
        assert await storage.load_sessions("name") == [sample(SessionRow)]
    async with LoopLocal(without, password=rotated.fetch) as local:
        assert await local.load_sessions("name") == [sample(SessionRow)]
    assert rotated.asked >= 3
    async with open_storage(without, password=str(own.password)) as storage:
        assert await storage.load_sessions("name") == [sample(SessionRow)]


async def test_a_function_that_fails_is_asked_again(url: str) -> None:
    own = make_url(url)
    failures: list[Exception] = [OSError("no route"), TimeoutError()]

    def ask() -> str:
        if failures:
            raise failures.pop()
        return str(own.password)

    async with SqlRepository(create_engine(without_password(own), password=ask)) as storage:
        await storage.save_session(sample(SessionRow))
        calls = (await storage.stats()).calls
    assert calls is not None
    assert calls.retries == 2


async def test_the_password_of_a_function_is_checked_by_the_server(url: str) -> None:
    engine = create_engine(without_password(make_url(url)), password=lambda: "wrong")
    async with SqlRepository(engine) as storage:
        with pytest.raises(StorageConnectionError) as refused:
            await storage.load_daemons()
    assert not refused.value.transient


async def test_a_password_that_is_refused_is_asked_for_once_more(url: str) -> None:
    own, asked = make_url(url), list[str]()
    answers = ["expired", str(own.password), "expired", "revoked", "unused"]

    async def ask() -> str:
        asked.append(answers[len(asked)])
        return asked[-1]

    async with SqlRepository(create_engine(without_password(own), password=ask)) as storage:
        await storage.load_daemons()
        assert asked == answers[:2]
    async with SqlRepository(create_engine(without_password(own), password=ask)) as storage:
        with pytest.raises(StorageConnectionError) as refused:
            await storage.load_daemons()
    assert not refused.value.transient
    assert asked == answers[:4]


async def test_a_fixed_password_or_the_same_one_again_is_sent_once(url: str) -> None:
    without, attempts = without_password(make_url(url)), list[str]()
    for password in ("wrong", lambda: "wrong"):
        engine = create_engine(without, password=password)
        connect = engine.dialect.connect

        def counted(*positional: object, connect: Any = connect, **keywords: Any) -> Any:
            attempts.append(keywords["password"])
            return connect(*positional, **keywords)

        engine.dialect.connect = counted  # type: ignore[method-assign]
        async with SqlRepository(engine) as storage:
            with pytest.raises(StorageConnectionError):
                await storage.load_daemons()
    assert attempts == ["wrong", "wrong"]
