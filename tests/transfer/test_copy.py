"""Copies between databases of every kind keep every value of every row."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from axon_storage import (
    CacheRow,
    EventRow,
    InMemoryBackend,
    InvalidArgumentError,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    TenantMismatchError,
    TraceRow,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.transfer import Progress, copy, export, verify
from tests.databases import Databases
from tests.transfer.filling import TENANTS, everything

HOPS = ("postgresql", "mariadb", "mysql", "oracle-double-23ai", "sqlite")


async def test_a_copy_keeps_every_value_of_every_row(
    filled: SqlRepository, repository: SqlRepository, other: SqlRepository
) -> None:
    expected = await everything(filled)
    there = await copy(filled, repository)
    assert there.rows == sum(there.tables.values()) > 5_000
    assert there.tenants == len(TENANTS)
    assert (await verify(filled, repository)).is_equal
    assert await everything(repository) == expected
    assert (await copy(repository, other)).tables == there.tables
    assert (await verify(filled, other)).is_equal
    assert await everything(other) == expected


async def test_a_copy_replaces_every_column_of_existing_rows(repository: SqlRepository, other: SqlRepository) -> None:
    for storage, status in ((repository, "old"), (other, "new")):
        await storage.save_trace(sample(TraceRow, status=status))
        await storage.save_cache_entry(sample(CacheRow, ttl_secs=900 if status == "new" else 60))
        event = await storage.append_event(sample(EventRow, topic=status))
    await repository.append_event(sample(EventRow, topic="old"), id=event)
    found = {each.table: each.columns for each in (await verify(other, repository)).first_differences}
    assert found["traces"] == ("status", "created_id")
    assert found["execution_cache"] == ("ttl_secs", "expires_at", "updated_at")
    assert "event_history" in found
    await copy(other, repository, delete_extra=True)
    assert (await verify(other, repository)).is_equal
    assert await everything(repository) == await everything(other)


async def test_a_copy_can_be_repeated(repository: SqlRepository, other: SqlRepository) -> None:
    await other.save_many(sample(row_type) for row_type in ROW_TYPES)
    first = await copy(other, repository)
    assert await copy(other, repository) == first
    assert (await verify(other, repository)).is_equal


async def test_rows_that_only_the_target_has_are_kept_unless_they_are_to_be_deleted(
    repository: SqlRepository, other: SqlRepository
) -> None:
    await other.save_session(sample(SessionRow))
    await repository.save_many(sample(SessionRow, scope=scope) for scope in "ab")
    await repository.append_event(sample(EventRow))
    await repository.for_tenant("extra").save_trace(sample(TraceRow, "extra"))
    assert (await copy(other, repository)).deleted == 0
    assert len(await repository.session_scopes()) == 3
    assert (await copy(other, repository, delete_extra=True)).deleted == 3
    assert (await verify(other, repository, tenants=["default"])).is_equal
    assert await repository.tenant_ids() == ["default", "extra"]  # the source does not have this tenant


async def test_rows_with_any_keys_are_deleted_with_few_statements(
    filled: SqlRepository, repository: SqlRepository, other: SqlRepository
) -> None:
    for tenant in TENANTS:
        await other.for_tenant(tenant).save_session(sample(SessionRow, tenant))
    rows, deletes = (await copy(filled, repository)).rows, list[str]()
    engine = repository.engine.sync_engine

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            deletes.append(statement)

    try:
        assert (await copy(other, repository, delete_extra=True)).deleted == rows - len(TENANTS)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert (await verify(other, repository)).is_equal
    assert len(deletes) <= len(TENANTS) * len(ROW_TYPES) + rows / 1_000


async def test_a_copy_of_an_empty_database_deletes_nothing(repository: SqlRepository, other: SqlRepository) -> None:
    await repository.save_session(sample(SessionRow))
    assert (await copy(other, repository, delete_extra=True)).deleted == 0
    assert len(await repository.session_scopes()) == 1


async def test_a_tenant_that_the_source_does_not_have_is_refused(
    repository: SqlRepository, other: SqlRepository, tmp_path: Path
) -> None:
    for storage, tenant in ((other, "acme"), (repository, "acme"), (repository, "gone")):
        await storage.for_tenant(tenant).save_session(sample(SessionRow, tenant))
    with pytest.raises(InvalidArgumentError, match="no rows of tenant 'gone'"):
        await copy(other, repository, tenants=["acme", "gone"], delete_extra=True)
    assert await repository.tenant_ids() == ["acme", "gone"]
    with pytest.raises(InvalidArgumentError, match="no rows of tenant 'gone'"):
        await export(other, tmp_path / "rows.jsonl", tenants=["gone"])
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # not Path.iterdir, which ruff refuses in coroutines


async def test_only_the_given_tenants_are_copied(filled: SqlRepository, repository: SqlRepository) -> None:
    await copy(filled, repository, tenants=["z"])
    assert await repository.tenant_ids() == ["z"]
    assert (await verify(filled, repository, tenants=["z"])).is_equal
    assert not (await verify(filled, repository)).is_equal


async def test_a_view_copies_its_tenant_only(filled: SqlRepository, other: SqlRepository) -> None:
    await copy(filled.for_tenant("z"), StorageDispatcher(other))
    assert await other.tenant_ids() == ["z"]
    with pytest.raises(TenantMismatchError, match="view"):
        await copy(filled, other.for_tenant("z"), tenants=["default"])
    with pytest.raises(TenantMismatchError, match="different tenants"):
        await copy(filled.for_tenant("default"), other.for_tenant("z"))


async def test_the_progress_names_tables_and_tenants_and_counts_rows(
    filled: SqlRepository, other: SqlRepository
) -> None:
    seen: list[Progress] = []
    result = await copy(filled, other, progress=seen.append)
    last = {(each.table, each.tenant): each for each in seen}
    assert sum(each.rows for each in last.values()) == result.rows
    assert last["sessions", "z"].bytes > 5_000_000
    pages = [each.rows for each in seen if (each.table, each.tenant) == ("traces", "default")]
    assert pages == sorted(pages)
    assert max(late - early for early, late in zip([0, *pages], pages, strict=False)) <= 1_000


async def test_urls_are_opened_for_the_call(databases: Databases) -> None:
    source, target = [await databases.empty("sqlite") for _ in range(2)]
    with pytest.raises(StorageConnectionError, match="no schema"):
        await copy(source, target)
    async with open_storage(source) as storage:
        await storage.save_trace(sample(TraceRow))
    assert (await copy(source, target)).rows == 1
    assert (await verify(source, target)).is_equal


async def test_a_storage_without_a_database_is_refused(other: SqlRepository) -> None:
    for call in (copy, verify):
        with pytest.raises(InvalidArgumentError, match="source: InMemoryBackend has no database"):
            await call(InMemoryBackend(), other)
        with pytest.raises(InvalidArgumentError, match="target: InMemoryBackend has no database"):
            await call(other, StorageDispatcher.in_memory())
        async with other.transaction() as transaction:
            with pytest.raises(InvalidArgumentError, match="source: Transaction"):
                await call(transaction, other)


async def test_one_database_as_source_and_target_is_refused(repository: SqlRepository) -> None:
    url = repository.engine.url.render_as_string(hide_password=False)
    async with SqlRepository(create_engine(url)) as same:
        for source in (repository, same):
            with pytest.raises(InvalidArgumentError, match="the same database"):
                await copy(source, repository)


async def test_one_sqlite_file_under_two_names_is_refused(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await databases.empty("sqlite")
    await schema.upgrade(url)
    file = Path(str(make_url(url).database))
    (tmp_path / "symbolic.db").symlink_to(file)
    (tmp_path / "hard.db").hardlink_to(file)
    monkeypatch.chdir(file.parent)
    names = (
        f"{file}?timeout=7",
        f"file:{file}?uri=true",
        file.name,
        str(tmp_path / "symbolic.db"),
        str(tmp_path / "hard.db"),
    )
    for name in names:
        for call in (copy, verify):
            with pytest.raises(InvalidArgumentError, match="the same database"):
                await call(url, f"sqlite:///{name}")


async def test_two_schemas_of_a_database_are_two_databases(databases: Databases) -> None:
    url = await databases.empty("postgresql")
    engine = create_engine(url)
    async with engine.begin() as connection:
        for name in ("one", "two"):
            await connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    await engine.dispose()
    source, target = (f"{url}{'&' if '?' in url else '?'}search_path={name}" for name in ("one", "two"))
    async with open_storage(source, migrate=True) as storage, open_storage(target, migrate=True) as other:
        await storage.save_session(sample(SessionRow))
        assert (await copy(storage, other)).rows == 1
    with pytest.raises(InvalidArgumentError, match="the same database"):
        await verify(source, source)


async def test_tenants_that_are_no_list_are_refused(filled: SqlRepository, other: SqlRepository) -> None:
    with pytest.raises(InvalidArgumentError, match="a string is not a list"):
        await copy(filled, other, tenants="default")


async def test_a_copy_through_every_database_is_equal_after_each(databases: Databases, filled: SqlRepository) -> None:
    source, expected = filled, await everything(filled)
    for hop in HOPS:
        target = SqlRepository((await databases.ready(hop))[1])
        rows = (await copy(source, target)).rows
        result = await verify(source, target)
        assert result.is_equal, (hop, result.first_differences)
        assert await everything(target) == expected
        print(f"to {hop}: {rows} rows, {result.rows} compared")  # noqa: T201  # shown with -rP
        source = target


async def test_repeated_copies_beside_writers_converge(repository: SqlRepository, other: SqlRepository) -> None:
    done, rounds = asyncio.Event(), Counter(dict.fromkeys("abc", 0))

    async def write(name: str) -> None:
        while not done.is_set():
            number = rounds[name]
            await other.save_many([sample(TraceRow, trace_id=hash((name, number)) % 2**64), sample(EventRow)])
            await other.save_session(sample(SessionRow, key=name, value=str(number)))
            if number % 5 == 4:
                await other.delete_session("name", name)
            rounds[name] += 1

    writers = [asyncio.create_task(write(name)) for name in rounds]
    while min(rounds.values()) < 6:
        await copy(other, repository)
    done.set()
    await asyncio.gather(*writers)
    await copy(other, repository, delete_extra=True)
    assert (await verify(other, repository)).is_equal
    assert await everything(repository) == await everything(other)


async def test_a_database_with_another_revision_is_refused(other: SqlRepository, empty: SqlRepository) -> None:
    async with empty.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE axon_storage_version SET version_num = '0003'")
    for source, target, name in ((other, empty, "target"), (empty, other, "source")):
        with pytest.raises(StorageConnectionError, match=f"{name}: the schema is at revision 0003"):
            await copy(source, target)
