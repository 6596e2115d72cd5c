"""The ``repr`` of storages, views and transactions."""

from pathlib import Path

import pytest

from axon_storage import InMemoryBackend, SqlRepository, StorageDispatcher, create_engine, open_storage


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/agents.db"


async def test_the_repr_of_a_repository_shows_database_tenant_and_state(url: str) -> None:
    shown = url.replace("sqlite:", "sqlite+aiosqlite:")
    async with SqlRepository(create_engine(url)) as repository:
        assert repr(repository) == f"<SqlRepository {shown} open>"
        view = repository.for_tenant("acme")
        assert repr(view) == f"<SqlRepository {shown} open tenant='acme'>"
    assert repr(repository) == f"<SqlRepository {shown} closed>"
    assert repr(view) == f"<SqlRepository {shown} closed tenant='acme'>"


async def test_a_dispatcher_shows_its_backend(url: str) -> None:
    async with open_storage(url) as storage:
        assert repr(storage) == f"<StorageDispatcher {storage.backend!r}>"
        assert repr(storage.for_tenant("acme")) == f"<StorageDispatcher {storage.backend!r} tenant='acme'>"
        await storage.switch_to(InMemoryBackend()).close()
        assert repr(storage) == "<StorageDispatcher <InMemoryBackend>>"


async def test_a_transaction_shows_whether_it_has_ended(url: str) -> None:
    shown = url.replace("sqlite:", "sqlite+aiosqlite:")
    async with open_storage(url) as storage:
        async with storage.for_tenant("acme").transaction() as transaction:
            assert repr(transaction) == f"<{type(transaction).__name__} {shown} open tenant='acme'>"
        assert repr(transaction) == f"<{type(transaction).__name__} {shown} ended tenant='acme'>"


async def test_in_memory_there_is_no_database_to_show() -> None:
    storage = StorageDispatcher.in_memory()
    assert repr(storage.for_tenant("acme")) == "<StorageDispatcher <InMemoryBackend> tenant='acme'>"
    async with InMemoryBackend().for_tenant("acme").transaction() as transaction:
        assert repr(transaction) == "<InMemoryBackend transaction tenant='acme'>"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:secret@db.host:5433/agents", "postgresql+asyncpg://ada:***@db.host:5433/agents"),
        ("postgresql://ada@/agents?host=db.host&password=secret", "postgresql+asyncpg://ada@/agents?host=db.host"),
        ("mysql://ada:se%40cret@db.host/agents", "mysql+aiomysql://ada:***@db.host/agents"),
        ("oracle://ada:secret@db.host/?service_name=X&wallet_password=secret",
         "oracle+oracledb_async://ada:***@db.host/?service_name=X"),
    ],
)  # fmt: skip
def test_no_password_is_shown(url: str, shown: str) -> None:
    repository = SqlRepository(create_engine(url))
    assert repr(repository) == f"<SqlRepository {shown} open>"
    assert "cret" not in repr(StorageDispatcher(repository).for_tenant("acme"))
