"""TenantCatalogue: the placements of tenants, and how processes learn of changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from axon_storage import SerializationError, SessionRow, StorageConnectionError, StorageDispatcher
from axon_storage.model.requests import ListByKey, Request
from axon_storage.routing import CATALOGUE_TENANT, Placement, PlacementState, TenantCatalogue
from tests.routing.conftest import NewFile

T = TypeVar("T")


class Home(StorageDispatcher):
    """A home database that counts its requests, and can hold back the placements that it has read."""

    counts: dict[str, int]
    gate: asyncio.Event

    async def execute(self, request: Request[T]) -> T:
        self.counts[request.operation] = self.counts.get(request.operation, 0) + 1
        result = await super().execute(request)
        if isinstance(request, ListByKey):
            await self.gate.wait()
        return result


@pytest.fixture
async def home(new_file: NewFile) -> AsyncIterator[Home]:
    async with await Home.from_url(new_file(), migrate=False) as opened:
        opened.counts, opened.gate = {}, asyncio.Event()
        opened.gate.set()
        yield opened


async def test_the_newest_version_is_in_force_and_each_is_stored_once(home: Home) -> None:
    catalogue = TenantCatalogue(home)
    assert await catalogue.get("acme") is None
    versions = [Placement("acme", "a"), Placement("acme", "a", 2, PlacementState.STOPPED), Placement("acme", "b", 10)]
    for placement in versions:
        assert await catalogue.put(placement)
        assert await catalogue.get("acme") == await catalogue.cached("acme") == placement
    assert not await catalogue.put(Placement("acme", "z", 10))
    assert await catalogue.put(Placement("Acme", "c"))
    assert await catalogue.list() == [Placement("Acme", "c"), versions[-1]]
    with pytest.raises(SerializationError, match="the catalogue of tenants: tenant_id"):
        await catalogue.put(Placement("", "a"))


async def test_the_entries_can_be_read_as_rows(home: Home) -> None:
    await TenantCatalogue(home).put(Placement("acme", "eu-1"))
    row = SessionRow(tenant_id=CATALOGUE_TENANT, scope="acme", key="0000000001", value="eu-1", source_step="active")
    assert await home.for_tenant(CATALOGUE_TENANT).load_sessions("acme") == [row]


@pytest.mark.parametrize("version", [1, 2])
async def test_of_several_writers_of_a_version_one_succeeds(home: Home, version: int) -> None:
    catalogues = [TenantCatalogue(home) for _ in range(6)]
    if version > 1:
        await catalogues[0].put(Placement("acme", "first"))
    new = [Placement("acme", f"d{number}", version) for number in range(6)]
    stored = await asyncio.gather(*(each.put(placement) for each, placement in zip(catalogues, new, strict=True)))
    assert stored.count(True) == 1
    assert await catalogues[0].get("acme") == new[stored.index(True)]


async def test_a_placement_is_read_once_and_the_epoch_once_in_a_while(home: Home) -> None:
    await TenantCatalogue(home).put(Placement("acme", "a"))
    catalogue = TenantCatalogue(home, 3600)
    home.counts.clear()
    await asyncio.gather(*(catalogue.cached("acme") for _ in range(5)))
    first = dict(home.counts)
    assert first["get_session"] == 1
    for _ in range(50):
        assert await catalogue.cached("acme") == Placement("acme", "a")
    assert home.counts == first


async def test_a_change_is_known_when_the_cache_is_older_than_its_limit(home: Home) -> None:
    writer, always, never = TenantCatalogue(home), TenantCatalogue(home, 0), TenantCatalogue(home, 3600)
    old, new = Placement("acme", "a"), Placement("acme", "b", 2)
    await writer.put(old)
    assert await always.cached("acme") == await never.cached("acme") == old
    home.counts.clear()
    assert await always.cached("acme") == old
    assert home.counts == {"get_session": 1}  # the epoch is as it was
    await writer.put(new)
    assert await always.cached("acme") == await writer.cached("acme") == new
    assert await never.cached("acme") == old


async def test_the_end_of_a_stop_is_known_at_once(home: Home) -> None:
    writer, reader = TenantCatalogue(home), TenantCatalogue(home, 3600)
    placements = [Placement("acme", "a", 1, PlacementState.STOPPED), Placement("acme", "b", 2)]
    for placement in placements:
        await writer.put(placement)
        assert await reader.cached("acme") == placement


async def test_a_placement_that_was_read_before_a_change_does_not_stay(home: Home) -> None:
    reader, writer = TenantCatalogue(home, 0), TenantCatalogue(home)
    await writer.put(Placement("acme", "a"))
    home.gate.clear()
    early = asyncio.create_task(reader.cached("acme"))
    while home.counts.get("load_sessions", 0) < 1:  # noqa: ASYNC110  # the other task reads
        await asyncio.sleep(0.001)
    await writer.put(Placement("acme", "b", 2))
    late = asyncio.create_task(reader.cached("acme"))  # it empties the cache
    while home.counts["load_sessions"] < 2:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.001)
    late.cancel()
    home.gate.set()
    await early
    assert await reader.cached("acme") == Placement("acme", "b", 2)


async def test_without_the_home_database_placements_are_used_as_long_as_they_are_new_enough(home: Home) -> None:
    long, short = TenantCatalogue(home, 3600), TenantCatalogue(home, 0)
    await long.put(Placement("acme", "a"))
    assert await long.cached("acme") == await short.cached("acme") == Placement("acme", "a")
    await home.backend.close()
    assert await long.cached("acme") == Placement("acme", "a")
    for catalogue, tenant in [(short, "acme"), (short, "acme"), (long, "globex")]:
        with pytest.raises(StorageConnectionError, match="the catalogue of tenants: this storage is closed"):
            await catalogue.cached(tenant)
