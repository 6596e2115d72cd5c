"""No error of a URL that cannot be used shows its password, whichever public function gets the URL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from axon_storage import StorageDispatcher, StorageError, audit, create_engine, moving, open_storage, schema, transfer
from axon_storage.backup import backup
from axon_storage.diagnosis import diagnose
from axon_storage.engine.url import script_url
from axon_storage.routing import Placement, TenantCatalogue
from tests.security.reports import PASSWORD, check_report

BAD_URLS = [
    PASSWORD,
    f"ada:{PASSWORD}@127.0.0.1/agents",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:port/agents",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:x/agents",
    f"postgresql://ada:{PASSWORD}@@127.0.0.1/agents",
    f"postgresql://ada:a@/{PASSWORD}@127.0.0.1/agents",
    f"postgresql://ada:{PASSWORD}@[::1/agents",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:1/agents?nonsense=1",
    f"postgresql://ada@127.0.0.1:1/agents?password={PASSWORD}&nonsense=1",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:1/agents?sslmode=perhaps",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:1/agents?sslrootcert=/nowhere",
    f"postgresql+psycopg2://ada:{PASSWORD}@127.0.0.1/agents",
    f"mongodb://ada:{PASSWORD}@127.0.0.1/agents",
    f"mysql://ada:{PASSWORD}@127.0.0.1",
    f"oracle://ada:{PASSWORD}@127.0.0.1:1/SID?service_name=X",
    f"oracle://ada:{PASSWORD}@127.0.0.1:1/?service_name=X&sslmode=prefer",
    f"sqlite:///agents.db?password={PASSWORD}",
    f"sqlite://ada:{PASSWORD}@127.0.0.1/agents",
]


async def _collected(findings: AsyncIterator[Any]) -> None:
    shown = [repr(finding) for finding in [each async for each in findings]]
    assert PASSWORD not in "".join(shown)
    raise StorageError("diagnose reports errors as findings")


async def _opened(url: str | None) -> None:
    async with open_storage(url, retry_attempts=1):
        pass


async def _moved(home: str, databases: dict[str, str]) -> None:
    async with open_storage(home) as storage:
        await TenantCatalogue(storage).put(Placement("acme", "a"))
        await moving.move(storage, databases, "acme", "b", retry_attempts=1)


Use = Callable[[str, Path], Awaitable[Any]]

USES: dict[str, Use] = {
    "open_storage": lambda url, _: _opened(url),
    "from_url": lambda url, _: StorageDispatcher.from_url(url, retry_attempts=1),
    "backup": lambda url, folder: backup(url, folder / "backup.db"),
    "diagnose": lambda url, _: _collected(diagnose(url)),
    "adopt": lambda url, _: schema.adopt(url),
    "current": lambda url, _: schema.current(url),
    "differences": lambda url, _: schema.differences(url),
    "downgrade": lambda url, _: schema.downgrade(url, "base"),
    "secure": lambda url, _: schema.secure(url),
    "distribute": lambda url, _: schema.distribute(url),
    "distribution_of": lambda url, _: schema.distribution_of(url),
    "unsecure": lambda url, _: schema.unsecure(url),
    "stamp": lambda url, _: schema.stamp(url, "head"),
    "upgrade": lambda url, _: schema.upgrade(url),
    "copy from": lambda url, folder: transfer.copy(url, f"sqlite:///{folder}/other.db"),
    "copy to": lambda url, folder: transfer.copy(f"sqlite:///{folder}/agents.db", url),
    "verify": lambda url, folder: transfer.verify(f"sqlite:///{folder}/agents.db", url),
    "export": lambda url, folder: transfer.export(url, folder / "agents.jsonl"),
    "export_parquet": lambda url, folder: transfer.export_parquet(url, folder / "parquet"),
    "import_": lambda url, folder: transfer.import_(url, folder / "agents.jsonl"),
    "seal": lambda url, _: audit.seal(url),
    "audit.verify": lambda url, _: audit.verify(url),
    "move from": lambda url, folder: moving.move(url, {"a": f"sqlite:///{folder}/agents.db"}, "acme", "a"),
    "move to": lambda url, folder: _moved(f"sqlite:///{folder}/agents.db", {"a": "sqlite:///b.db", "b": url}),
    "copy_seals": lambda url, folder: audit.copy_seals(url, f"sqlite:///{folder}/agents.db"),
}


@pytest.mark.parametrize("use", USES)
async def test_a_url_that_cannot_be_used(use: str, tmp_path: Path) -> None:
    for name in ("agents", "other"):
        await schema.upgrade(f"sqlite:///{tmp_path}/{name}.db")
    await transfer.export(f"sqlite:///{tmp_path}/agents.db", tmp_path / "agents.jsonl")
    for url in BAD_URLS:
        with pytest.raises(StorageError) as refused:
            await USES[use](url, tmp_path)
        check_report(refused.value, PASSWORD)


@pytest.mark.parametrize("use", [create_engine, script_url, schema.script, schema.grants])
def test_a_url_that_cannot_be_used_without_a_connection(use: Callable[[str], object]) -> None:
    for url in BAD_URLS:
        try:
            use(url)
        except StorageError as refused:
            check_report(refused, PASSWORD)


async def test_the_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in BAD_URLS:
        monkeypatch.setenv("DATABASE_URL", url)
        with pytest.raises(StorageError) as refused:
            await _opened(None)
        check_report(refused.value, PASSWORD)
