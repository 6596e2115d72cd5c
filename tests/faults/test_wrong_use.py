"""Wrong use is a clear error of this package, not one of a driver."""

from pathlib import Path

import pytest

from axon_storage import QueryError, StorageConnectionError, TraceRow, open_storage
from axon_storage.testing.samples import sample


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mysql+asyncmy"])
@pytest.mark.parametrize(
    "rest",
    ["u:secret@127.0.0.1:1/x?nonsense=1", "u:secret@127.0.0.1:99999/x", "u:secret@a..b/x"],
    ids=["an option the driver does not know", "a port out of range", "an invalid host name"],
)
async def test_the_error_of_a_url_that_the_driver_cannot_use_shows_no_password(scheme: str, rest: str) -> None:
    with pytest.raises(StorageConnectionError) as refused:
        async with open_storage(f"{scheme}://{rest}", retry_attempts=1):
            pass
    assert str(refused.value).startswith("connection error: open: ")
    assert "secret" not in str(refused.value)


async def test_closing_a_storage_inside_its_own_transaction_is_refused(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/agents.db") as storage:
        async with storage.transaction() as transaction:
            await transaction.save_trace(sample(TraceRow))
            with pytest.raises(QueryError, match="close: this task is inside a transaction of the storage"):
                await storage.close()
        assert await storage.load_traces(1) == [sample(TraceRow)]


async def test_a_callers_error_that_is_its_own_cause_passes_through_a_transaction(tmp_path: Path) -> None:
    own = KeyError("mine")
    async with open_storage(f"sqlite:///{tmp_path}/agents.db") as storage:
        with pytest.raises(KeyError) as raised:
            async with storage.transaction():
                raise own from own
    assert raised.value is own
