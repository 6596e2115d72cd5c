"""move: a run that fails or is overtaken by another one leaves the tenant in one database."""

import asyncio

import pytest

from axon_storage import (
    InvalidArgumentError,
    QueryError,
    SqlRepository,
    StorageConnectionError,
    TenantMismatchError,
    create_engine,
    open_storage,
)
from axon_storage.moving import MoveStep
from axon_storage.moving.fence import Fence
from axon_storage.moving.rows import delete_rows
from tests.routing.conftest import NewFile
from tests.routing.sites import Site
from tests.routing.test_routing import keys, save


class _StoppedError(Exception):
    pass


@pytest.mark.parametrize("step", MoveStep)
@pytest.mark.parametrize("to", ["one", "two"])
async def test_a_move_that_fails_at_any_step_goes_on_or_back(site: Site, step: MoveStep, to: str) -> None:
    def fail(current: MoveStep) -> None:
        if current is step:
            raise _StoppedError

    async with site.router() as router:
        await save(router, "acme")
        with pytest.raises(_StoppedError):
            await site.move("acme", "two", step=fail)
        async with asyncio.timeout(20):
            await save(router, "acme", "meanwhile")  # its writes go on
        if to == "one" and step is MoveStep.DELETING:
            await site.move("acme", "two")
        result = await site.move("acme", to)
        assert result.database == to
        assert await keys(router, "acme") == ["meanwhile", "name"]
        assert await site.rows_in("two" if to == "one" else "one", "acme") == 0
        assert await site.rows_in(to, "acme") == 2


async def test_a_move_that_was_begun_to_another_database_is_undone_first(new_file: NewFile, site: Site) -> None:
    site.databases["three"] = new_file()

    def fail(current: MoveStep) -> None:
        if current is MoveStep.WAITING:
            raise _StoppedError

    async with site.router() as router:
        await save(router, "acme")
        with pytest.raises(_StoppedError):
            await site.move("acme", "two", step=fail)
        assert await site.rows_in("two", "acme") == 1
        await site.move("acme", "three")
        assert await keys(router, "acme") == ["name"]
        assert [await site.rows_in(name, "acme") for name in ("one", "two", "three")] == [0, 0, 1]


async def test_only_the_newest_run_can_change_rows(url: str) -> None:
    async with SqlRepository(create_engine(url)) as storage:
        await save(storage, "acme")
        early, late = Fence(storage, "acme", "1"), Fence(storage, "acme", "2")
        await early.take()
        await late.take()
        with pytest.raises(QueryError, match="another run of this move has begun"):
            await delete_rows(early)
        assert await keys(storage, "acme") == ["name"]
        assert await delete_rows(late) == 1
        await late.clear()
        for fence in (early, late):
            with pytest.raises(QueryError, match="another run of this move has begun"):
                await delete_rows(fence)


async def test_of_two_runs_the_earlier_one_ends(site: Site) -> None:
    async def other_run() -> None:
        await site.move("acme", "one")

    async with site.router() as router:
        await save(router, "acme")
        runs: list[asyncio.Task[None]] = []

        def begin(current: MoveStep) -> None:
            if current is MoveStep.COPYING:
                runs.append(asyncio.create_task(other_run()))

        with pytest.raises(QueryError, match="another run"):
            await site.move("acme", "two", step=begin)
        await runs[0]
        assert await keys(router, "acme") == ["name"]
        assert await site.rows_in("two", "acme") == 0


async def test_what_cannot_be_moved_is_refused_and_nothing_is_changed(site: Site) -> None:
    async with site.router() as router, open_storage(site.databases["two"]) as two:
        await save(router, "acme")
        await save(two, "acme")
        for tenant, to, error, message in (
            ("globex", "two", TenantMismatchError, "'globex' is not in the catalogue: correct the name"),
            ("acme", "four", StorageConnectionError, "there is no database 'four'"),
            ("acme", "two", InvalidArgumentError, "'two' has rows of 'acme' already: erase them there"),
            ("axon_storage_moves", "two", TenantMismatchError, "is the tenant of moves"),
        ):
            with pytest.raises(error, match=message):
                await site.move(tenant, to)
        assert await keys(router, "acme") == await keys(two, "acme") == ["name"]
