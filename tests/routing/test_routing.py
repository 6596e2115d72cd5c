"""TenantRouter: each call uses the database of its tenant."""

import asyncio
from pathlib import Path

import pytest

from axon_storage import (
    InMemoryBackend,
    InvalidArgumentError,
    QueryError,
    SessionRow,
    StorageBackend,
    StorageConnectionError,
    StorageStats,
    TenantMismatchError,
    TenantRouter,
    open_storage,
    tenant_scope,
)
from axon_storage.model.seals import ListSealedTenants
from axon_storage.routing import CATALOGUE_TENANT, Placement, file_name
from axon_storage.routing.all_databases import ask_all
from axon_storage.routing.storages import OpenStorages
from axon_storage.testing.samples import sample
from tests.routing.conftest import DEAD, MISSING, NewFile


async def save(storage: StorageBackend, tenant: str, key: str = "name") -> None:
    await storage.for_tenant(tenant).save_session(sample(SessionRow, tenant, scope="s", key=key))


async def keys(storage: StorageBackend, tenant: str) -> list[str]:
    return [entry.key for entry in await storage.for_tenant(tenant).load_sessions("s")]


async def test_each_tenants_rows_are_in_its_database_alone(new_file: NewFile) -> None:
    home, databases = new_file(), {"a": new_file(), "b": new_file()}
    async with TenantRouter(home, databases, place=lambda tenant: tenant[0]) as router:
        for tenant in ("a1", "b1", "a2"):
            await save(router, tenant)
        with tenant_scope("b2"):
            await router.save_session(sample(SessionRow, "b2"))
        assert await router.tenant_ids() == ["a1", "a2", "b1", "b2"]
    for name, expected in {"a": ["a1", "a2"], "b": ["b1", "b2"]}.items():
        async with open_storage(databases[name]) as storage:
            assert await storage.tenant_ids() == expected
    async with open_storage(home) as storage:
        assert await storage.tenant_ids() == [CATALOGUE_TENANT]


async def test_a_placement_holds_for_other_routers_and_other_rules(new_file: NewFile) -> None:
    home, databases = new_file(), {"a": new_file(), "b": new_file()}
    async with TenantRouter(home, databases, place=lambda _: "b") as router:
        await save(router, "acme")
    async with TenantRouter(home, databases, place=lambda _: "a") as router:
        assert await keys(router, "acme") == ["name"]
        assert await router.catalogue.list() == [Placement("acme", "b")]


async def test_routers_that_place_a_tenant_at_the_same_time_agree(new_file: NewFile) -> None:
    home, databases = new_file(), {"a": new_file(), "b": new_file()}
    async with (
        TenantRouter(home, databases, place=lambda _: "a") as one,
        TenantRouter(home, databases, place=lambda _: "b") as other,
    ):
        calls = [save(router, "acme", str(number)) for number in range(8) for router in (one, other)]
        await asyncio.gather(*calls)
        assert sorted(await keys(one, "acme")) == sorted(await keys(other, "acme")) == list("01234567")
        assert len(await one.catalogue.list()) == 1


async def test_rows_of_a_tenant_in_another_database_are_not_listed(pair: TenantRouter) -> None:
    for tenant in ("a1", "a2", "b1"):
        await save(pair, tenant)
    await pair.catalogue.put(Placement("a1", "b", version=2))
    assert await pair.tenant_ids() == ["a2", "b1"]  # the rows in the database a are not those of the tenant
    assert await keys(pair, "a1") == []


async def test_a_tenant_that_is_not_placed_is_refused_without_a_rule(new_file: NewFile) -> None:
    async with TenantRouter(new_file(), {"a": new_file()}) as router:
        with pytest.raises(TenantMismatchError, match=r"^tenant mismatch: load_sessions: 'acme' has no database: add"):
            await keys(router, "acme")
        assert await router.catalogue.put(Placement("acme", "a"))
        await save(router, "acme")


async def test_a_database_without_a_url_is_refused_and_not_stored(new_file: NewFile) -> None:
    async with TenantRouter(new_file(), {"a": new_file()}, place=lambda _: "z") as router:
        with pytest.raises(StorageConnectionError, match=r"save_session: there is no database 'z' in .* names are a$"):
            await save(router, "acme")
        assert await router.catalogue.list() == []


async def test_the_tenant_of_the_catalogue_is_refused(pair: TenantRouter) -> None:
    with pytest.raises(TenantMismatchError, match="is the tenant of the catalogue"):
        await keys(pair, CATALOGUE_TENANT)


async def test_a_request_about_every_tenant_is_refused(pair: TenantRouter) -> None:
    request = ListSealedTenants(operation="seal", tenant="")
    await pair.catalogue.put(Placement("a1", "a", version=2))
    with pytest.raises(QueryError, match="seal: the call is about every tenant"):
        await pair.execute(request)
    async with pair.transaction() as transaction:
        with pytest.raises(QueryError, match="tenant_ids: the call is about every tenant"):
            await transaction.tenant_ids()


def _files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def test_one_file_for_each_tenant(tmp_path: Path, new_file: NewFile) -> None:
    tenants = ["acme", "Acme", "../up", "a/b", "☕" * 64]
    async with TenantRouter(new_file(), f"sqlite:///{tmp_path}/{{tenant}}.db", max_open=2) as router:
        for tenant in tenants:
            await save(router, tenant, tenant)
        for tenant in tenants:
            assert await keys(router, tenant) == [tenant]
        assert await router.tenant_ids() == sorted(tenants)
    assert _files(tmp_path) == {f"{file_name(tenant)}.db" for tenant in tenants}


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"one URL that contains \{tenant\}"):
        TenantRouter("sqlite:///home.db", "sqlite:///tenants.db")
    with pytest.raises(InvalidArgumentError, match="max_open must be at least 1"):
        TenantRouter("sqlite:///home.db", {}, max_open=0)
    with pytest.raises(InvalidArgumentError, match="catalogue_seconds"):
        TenantRouter("sqlite:///home.db", {}, catalogue_seconds=-1)
    with pytest.raises(TypeError, match=r"TenantRouter\(\) has no option 'pool'"):
        TenantRouter("sqlite:///home.db", {}, pool=1)  # type: ignore[call-arg]


async def test_a_database_that_is_down_harms_its_own_tenants_alone(new_file: NewFile) -> None:
    databases = {"a": new_file(), "f": MISSING, "s": DEAD}
    async with TenantRouter(new_file(), databases, place=lambda tenant: tenant[0]) as router:
        for tenant in ("f1", "s1", "f1"):
            down = asyncio.create_task(save(router, tenant))
            await save(router, "a1", tenant)
            with pytest.raises(StorageConnectionError):
                await down
        assert await keys(router, "a1") == ["f1", "s1"]
        assert await router.is_healthy()
        assert (await router.for_tenant("a1").health()).reasons == ()
        assert [reason.name for reason in (await router.for_tenant("f1").health()).reasons] == ["cannot_open"]
        # part of the tenants would look like all of them
        message = "{}: 2 of 3 databases failed, and the others are not affected: 'f': .*; 's': "
        with pytest.raises(StorageConnectionError, match=message.format("tenant_ids")):
            await router.tenant_ids()
        with pytest.raises(StorageConnectionError, match=message.format("stats")):
            await router.stats()


async def test_databases_are_asked_at_the_same_time_but_not_all() -> None:
    running, most, full = 0, 0, asyncio.Event()

    class Slow(InMemoryBackend):
        async def stats(self) -> StorageStats:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 8:
                full.set()
            await full.wait()
            await asyncio.sleep(0)
            running -= 1
            return await super().stats()

    storages = OpenStorages(lambda _: Slow(), 100, 5)
    found = await ask_all(storages, [f"d{number}" for number in range(20)], lambda storage: storage.stats())
    assert len(found) == 20
    assert most == 8


async def test_a_home_database_that_is_down_is_named(new_file: NewFile) -> None:
    async with TenantRouter(MISSING, {"a": new_file()}, place=lambda _: "a") as router:
        with pytest.raises(
            StorageConnectionError, match=r"^connection error: load_sessions: the catalogue of tenants: "
        ):
            await keys(router, "acme")
        assert not await router.is_healthy()
    assert [reason.name for reason in (await router.health()).reasons] == ["closed"]


async def test_close_closes_the_databases_and_leaves_a_home_storage_that_was_passed_open(new_file: NewFile) -> None:
    async with open_storage(new_file()) as home:
        async with TenantRouter(home, {"a": new_file()}, place=lambda _: "a") as router:
            await save(router, "acme")
            assert repr(router) == "<TenantRouter 1 of 100 databases open>"
        assert repr(router) == "<TenantRouter 0 of 100 databases open>"
        with pytest.raises(StorageConnectionError, match="load_sessions: this storage is closed"):
            await keys(router, "acme")
        assert await home.is_healthy()
