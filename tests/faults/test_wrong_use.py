"""Wrong use is a clear error, and no driver's."""

import pytest

from axon_storage import StorageConnectionError, open_storage


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mysql+asyncmy"])
@pytest.mark.parametrize(
    "rest",
    ["u:secret@127.0.0.1:1/x?nonsense=1", "u:secret@127.0.0.1:99999/x", "u:secret@a..b/x"],
    ids=["an option the driver does not know", "a port beyond the last", "a host that is none"],
)
async def test_a_url_that_the_driver_cannot_use_is_told_without_the_password(scheme: str, rest: str) -> None:
    with pytest.raises(StorageConnectionError) as refused:
        async with open_storage(f"{scheme}://{rest}", retry_attempts=1):
            pass
    assert str(refused.value).startswith("connection error: open: ")
    assert "secret" not in str(refused.value)
