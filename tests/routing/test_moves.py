"""move: everything of a tenant is in the other database afterwards, and nothing else has changed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import pytest

from axon_storage import (
    AuditRow,
    EventRow,
    InvalidArgumentError,
    LoopLocal,
    QueryError,
    Row,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    TenantMismatchError,
    TenantRouter,
    audit,
    create_engine,
    open_storage,
)
from axon_storage.encryption import Keyring, MasterKey
from axon_storage.model.requests import Request
from axon_storage.model.seals import ListSeals
from axon_storage.moving import MoveStep
from axon_storage.moving.fence import Fence
from axon_storage.moving.rows import delete_rows
from axon_storage.routing import Placement, PlacementState
from axon_storage.routing.catalogue import MOVES_TENANT
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from axon_storage.transfer import copy, verify
from tests.doses import EVERYTHING
from tests.pruning import clock_at
from tests.routing.conftest import NewFile
from tests.routing.sites import Site
from tests.routing.test_routing import keys, save
from tests.transfer.filling import TENANTS, difficult, fill

T = TypeVar("T")

MOVED, SMALL = TENANTS[1], 10_000


@pytest.fixture(params=["sqlite", "postgresql", *(["mariadb", "mysql"] if EVERYTHING else [])])
def target(request: pytest.FixtureRequest) -> str:
    """The kind of the database to which tenants are moved."""
    return str(request.param)


@pytest.fixture
def site(new_file: NewFile) -> Site:
    return Site(new_file(), new_file(), new_file())


def _rows(tenant: str) -> list[Row]:
    rows = [row for row in difficult(tenant) if len(row.to_json()) < SMALL]
    unique = {(type(row), *(getattr(row, name) for name in row.KEY)): row for row in rows if row.KEY}
    return [*unique.values(), *(row for row in rows if not row.KEY)]


async def _fill(url: str) -> UUID:
    """Store difficult rows of three tenants and a seal, prune events, and return the id of a pruned one."""
    async with open_storage(url, clock=clock_at(OLD)) as past, open_storage(url) as storage:
        await past.for_tenant(MOVED).append_audit(sample(AuditRow, MOVED))
        pruned = await past.for_tenant(MOVED).append_event(sample(EventRow, MOVED))
        if EVERYTHING:
            await fill(storage)
        for tenant in TENANTS:
            await storage.for_tenant(tenant).save_many(_rows(tenant))
        async with SqlRepository(create_engine(url)) as repository:
            await audit.seal(repository, tenants=[MOVED])
        assert await storage.for_tenant(MOVED).prune_events(datetime.now(UTC) - timedelta(days=1)) == 1
        return pruned


async def _seals(url: str) -> object:
    async with SqlRepository(create_engine(url)) as storage:
        assert (await audit.verify(storage, tenants=[MOVED])).is_intact
        return await storage.execute(ListSeals(operation="move", tenant=MOVED, after=0, limit=9))


async def test_everything_of_the_tenant_is_moved(new_file: NewFile, url: str) -> None:
    site, reference = Site(new_file(), new_file(), url), new_file()
    one, two = site.databases.values()
    pruned = await _fill(one)
    seals, _ = await _seals(one), await copy(one, reference)
    async with site.router() as router:
        for tenant in TENANTS:
            await keys(router, tenant)
        result = await site.move(MOVED, "two")
        assert result.database == "two"
        assert result.copied == result.deleted > 100
        assert (await verify(reference, two, tenants=[MOVED])).is_equal
        assert (await verify(reference, one, tenants=[TENANTS[0], TENANTS[2]])).is_equal
        assert await _seals(two) == seals
        with pytest.raises(InvalidArgumentError, match="up to which event_history was pruned"):
            await router.for_tenant(MOVED).append_event(sample(EventRow, MOVED), id=pruned)
        assert [await site.rows_in("one", tenant) for tenant in (MOVED, MOVES_TENANT)] == [0, 0]
        assert await site.rows_in("two", MOVES_TENANT) == 0
        assert await router.catalogue.get(MOVED) == Placement(MOVED, "two", 7)
        await save(router, MOVED, "afterwards")
        assert (await site.move(MOVED, "two")).copied == 0  # it is there
        await site.move(MOVED, "one")
        assert await site.rows_in("two", MOVED) == 0
        assert "afterwards" in await keys(router, MOVED)
        assert await _seals(one) == seals


async def test_encrypted_documents_are_moved_as_they_are_stored(site: Site) -> None:
    ring = Keyring({"one": MasterKey.generate()})
    async with site.router(encryption=ring) as router:
        await save(router, "acme")
        before = await _stored(site.databases["one"])
        await site.move("acme", "two", encryption=ring)
        assert await _stored(site.databases["two"]) == before
        assert len(await router.for_tenant("acme").load_sessions("s")) == 1


async def _stored(url: str) -> list[str]:
    async with open_storage(url) as storage:
        values = [row.value for row in await storage.for_tenant("acme").load_sessions("s")]
    assert all(value != sample(SessionRow).value for value in values)
    return values


async def test_a_write_waits_while_its_tenant_is_stopped_and_goes_on_in_the_new_database(site: Site) -> None:
    async with site.router() as router:
        await save(router, "acme")
        await save(router, "globex")
        for state in (PlacementState.STOPPED, PlacementState.DRAINED):
            version = 2 if state is PlacementState.STOPPED else 3
            await router.catalogue.put(Placement("acme", "one", version, state))
            assert await keys(router, "acme") == ["name"]  # a read goes on
            await save(router, "globex")
        waiting = [asyncio.create_task(save(router, "acme", "other")), asyncio.create_task(_block(router))]
        done, _ = await asyncio.wait(waiting, timeout=0.3)
        assert not done
        await router.catalogue.put(Placement("acme", "two", 4))
        await asyncio.gather(*waiting)
        assert await keys(router, "acme") == ["in a block", "other"]


async def _block(router: object) -> None:
    async with router.for_tenant("acme").transaction() as transaction:  # type: ignore[attr-defined]
        await save(transaction, "acme", "in a block")


async def test_a_write_waits_no_longer_than_its_timeout(site: Site) -> None:
    async with site.router(operation_timeout=0.3) as router:
        await save(router, "acme")
        await router.catalogue.put(Placement("acme", "one", 2, PlacementState.STOPPED))
        message = "save_session: not done within 0.3 s, waiting for the move of 'acme' to another database"
        with pytest.raises(StorageConnectionError, match=message) as refused:
            await save(router, "acme")
        assert refused.value.transient


async def test_a_block_that_has_begun_does_not_wait(site: Site) -> None:
    async with site.router() as router:
        with pytest.raises(StorageConnectionError, match="transaction: 'acme' was moved to another database while"):
            async with router.for_tenant("acme").transaction() as transaction:
                await save(transaction, "acme")
                await router.catalogue.put(Placement("acme", "one", 2, PlacementState.STOPPED))
                with pytest.raises(StorageConnectionError, match="'acme' is being moved to another database: repeat"):
                    await save(transaction, "acme", "other")
                await router.catalogue.put(Placement("acme", "two", 3))
                with pytest.raises(StorageConnectionError, match="'acme' was moved to another database: repeat"):
                    await save(transaction, "acme", "other")


@pytest.mark.parametrize("state", PlacementState)
async def test_a_write_that_ends_late_counts_only_if_its_rows_are_moved(site: Site, state: PlacementState) -> None:
    async with site.router() as router, open_storage(site.databases["one"]) as other:
        await save(router, "acme")
        async with other.transaction():  # only one writes to a SQLite file at a time
            late = asyncio.create_task(save(router, "acme", "late"))
            await asyncio.sleep(0.2)
            await router.catalogue.put(Placement("acme", "one", 2, state))
        if state is PlacementState.DRAINED:
            with pytest.raises(
                StorageConnectionError, match="while the call was in progress: it may have been"
            ) as lost:
                await late
            assert lost.value.transient
        else:
            await late
        assert await keys(router, "acme") == ["late", "name"]


async def test_a_block_that_ends_late_is_rolled_back(site: Site) -> None:
    async with site.router() as router:
        await save(router, "acme")
        for version, state in ((2, PlacementState.STOPPED), (4, PlacementState.DRAINED)):
            block = router.for_tenant("acme").transaction()
            transaction = await block.__aenter__()
            await save(transaction, "acme", state.value)
            await router.catalogue.put(Placement("acme", "one", version, state))
            if state is PlacementState.DRAINED:
                with pytest.raises(StorageConnectionError, match="in progress: repeat the block"):
                    await block.__aexit__(None, None, None)
            else:
                await block.__aexit__(None, None, None)
            await router.catalogue.put(Placement("acme", "one", version + 1))
        assert await keys(router, "acme") == ["name", "stopped"]


async def test_a_tenant_that_is_moved_while_tenants_are_listed_is_listed(site: Site) -> None:
    class Home(LoopLocal):
        async def execute(self, request: Request[T]) -> T:
            result = await super().execute(request)
            if request.operation == "scan" and to:  # the placements have been read
                await site.move("acme", to.pop())
            return result

    to: list[str] = []

    async with (
        Home(site.home) as home,
        TenantRouter(home, site.databases, place=lambda _: "one", catalogue_seconds=1e-6) as router,
    ):
        await save(router, "acme")
        await save(router, "globex")
        to.append("two")
        assert await router.tenant_ids() == ["acme", "globex"]
        assert not to


@pytest.mark.not_on("sqlite", "its reads wait for nothing")
@pytest.mark.not_on("m", "LOCK TABLE has another form")
async def test_a_read_that_ends_late_is_repeated_in_the_new_database(new_file: NewFile, url: str) -> None:
    site = Site(new_file(), url, new_file())
    engine = create_engine(url)
    async with site.router() as router:
        await save(router, "acme", "old")
        async with engine.begin() as connection:
            await connection.exec_driver_sql("LOCK TABLE sessions")
            late = asyncio.create_task(keys(router, "acme"))
            await asyncio.sleep(0.2)
            await router.catalogue.put(Placement("acme", "two", 2))
            await save(router, "acme", "new")
        assert await late == ["new"]
    await engine.dispose()


async def test_a_move_waits_twice_as_long_as_any_process_uses_a_placement(site: Site) -> None:
    async with site.router(0.2) as one, site.router(0.05) as other:
        await save(one, "acme")
        await save(other, "acme", "other")
        assert await one.catalogue.known_after() == pytest.approx(0.2 * 2 * 1.1)
        result = await site.move("acme", "two")
        assert result.stopped_seconds >= 0.44


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
