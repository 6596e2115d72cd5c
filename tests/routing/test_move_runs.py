"""move: a run that fails or is overtaken by another one leaves the tenant in one database."""

import asyncio
from datetime import UTC, datetime

import pytest

from axon_storage import (
    AuditRow,
    InvalidArgumentError,
    QueryError,
    SqlRepository,
    StorageConnectionError,
    TenantMismatchError,
    audit,
    create_engine,
    open_storage,
    operation_timeout,
)
from axon_storage.moving import MoveStep, move
from axon_storage.moving.fence import Fence
from axon_storage.moving.rows import delete_rows
from axon_storage.routing import Placement, PlacementState, TenantCatalogue
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from tests.pruning import clock_at
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


@pytest.mark.parametrize("state", [PlacementState.STOPPED, PlacementState.DRAINED])
@pytest.mark.parametrize("error", [StorageConnectionError("lost", transient=True), asyncio.CancelledError()])
async def test_after_a_change_whose_answer_is_lost_the_writes_go_on(
    site: Site, state: PlacementState, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = TenantCatalogue.put

    async def put_and_lose_the_answer(catalogue: TenantCatalogue, placement: Placement) -> bool:
        stored = await put(catalogue, placement)
        if placement.state is state:
            raise error
        return stored

    async with site.router() as router:
        await save(router, "acme")
        monkeypatch.setattr(TenantCatalogue, "put", put_and_lose_the_answer)
        with pytest.raises(type(error)):
            await site.move("acme", "two")
        monkeypatch.undo()
        with operation_timeout(5):
            await save(router, "acme", "meanwhile")
        await site.move("acme", "two")
        assert await keys(router, "acme") == ["meanwhile", "name"]


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


async def test_a_refused_move_leaves_the_placement_and_the_rows_of_both_databases(site: Site) -> None:
    async with site.router() as router:
        await save(router, "acme")
        databases = dict(site.databases)
        del site.databases["one"]
        with pytest.raises(StorageConnectionError, match="there is no database 'one'"):
            await site.move("acme", "two")
        site.databases.update(databases)
        async with open_storage(site.databases["two"]) as two:
            await save(two, "acme", "not of a move")
            with pytest.raises(InvalidArgumentError, match="'two' has rows of 'acme' already"):
                await site.move("acme", "two")
            assert await keys(two, "acme") == ["not of a move"]


async def test_a_database_under_two_names_is_refused_for_a_tenant_without_rows(site: Site) -> None:
    site.databases["alias"] = site.databases["one"]
    async with site.router() as router:
        await save(router, "acme")
        await router.for_tenant("acme").erase_tenant()
        with pytest.raises(InvalidArgumentError, match="same database"):
            await site.move("acme", "alias")
        assert (await site.move("acme", "two")).database == "two"
        await save(router, "acme")
        assert await site.rows_in("two", "acme") == 1


async def test_the_seals_of_a_tenant_in_the_target_are_rows_that_no_move_has_left(site: Site) -> None:
    async with site.router() as router, SqlRepository(create_engine(site.databases["two"])) as two:
        await save(router, "acme")
        past = SqlRepository(two.engine, clock=clock_at(OLD)).for_tenant("acme")
        await past.append_audit(sample(AuditRow, "acme"))
        await audit.seal(two)
        await two.for_tenant("acme").prune_audit(datetime.now(UTC))
        with pytest.raises(InvalidArgumentError, match="'two' has rows of 'acme' already"):
            await site.move("acme", "two")


@pytest.mark.parametrize("name", ["two ", " two", "two two"])
async def test_a_name_of_a_database_may_have_spaces(site: Site, name: str) -> None:
    site.databases[name] = site.databases.pop("two")
    async with site.router() as router:
        await save(router, "acme")
        assert (await site.move("acme", name)).database == name
        assert (await site.move("acme", "one")).database == "one"
        assert await keys(router, "acme") == ["name"]


@pytest.mark.parametrize("name", ["../x", "x?mode=ro", "x#", "a/b", "", ".", "a@b", "a:b"])
async def test_a_name_that_would_change_the_url_is_refused(site: Site, name: str) -> None:
    async with site.router() as router:
        await save(router, "acme")
        with pytest.raises(InvalidArgumentError, match="cannot be in a URL"):
            await move(site.home, "sqlite:///tenants/{tenant}.db", "acme", name)
        assert await router.catalogue.get("acme") == Placement("acme", "one")
