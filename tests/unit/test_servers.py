"""The servers of a test run, as far as none is started."""

import pytest

from tests.servers import GIVEN, Servers


@pytest.mark.parametrize("name", ["oracle", "citus", "postgresql"])
def test_a_given_server_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(GIVEN, name, "postgresql://somewhere/database")
    assert Servers().url(name) == "postgresql://somewhere/database"
