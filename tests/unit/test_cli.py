"""The command, without a server."""

import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from axon_storage import __version__, schema
from axon_storage.cli import app
from axon_storage.sql.tables import VERSION_TABLE

HEAD = schema.head()


def _migrate(*arguments: str, url: str | None = None) -> Result:
    return CliRunner().invoke(app, ["migrate", *arguments], env={"DATABASE_URL": url} if url else {"DATABASE_URL": ""})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/agents.db"


def test_up_check_down_and_stamp(url: str) -> None:
    assert _migrate("upgrade", "0001", url=url).stdout == "0001\n"
    behind = _migrate("check", url=url)
    assert (behind.exit_code, behind.stderr) == (1, f"0001; this package needs {HEAD}\n")
    assert _migrate("stamp", HEAD, url=url).stdout == f"{HEAD} (head)\n"
    differs = _migrate("check", url=url)
    assert differs.exit_code == 1
    assert "traces, index ix_traces_flow: missing" in differs.stderr
    assert _migrate("stamp", "0001", url=url).exit_code == 0
    assert _migrate("upgrade", url=url).stdout == f"{HEAD} (head)\n"
    assert _migrate("check", url=url).stdout == f"{HEAD} (head): no difference\n"
    assert _migrate("downgrade", "-1", url=url).exit_code == 0
    assert _migrate("downgrade", "base", url=url).stdout == "no schema\n"


@pytest.mark.parametrize("revision", ["[/x]", "[red]0001", "[link=http://host]x", ":smile:"])
def test_a_revision_is_shown_as_the_database_has_it(url: str, tmp_path: Path, revision: str) -> None:
    assert _migrate("upgrade", url=url).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "agents.db")) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", [revision])
    assert _migrate("current", url=url).stdout == f"{revision}\n"
    assert _migrate("check", url=url).stderr == f"{revision}; this package needs {HEAD}\n"


def test_the_history_names_every_revision() -> None:
    told = _migrate("history").stdout
    assert all(revision.number in told for revision in schema.history())


def test_the_script_is_told_as_it_is() -> None:
    assert _migrate("sql", "--url", "oracle://host/name").stdout == schema.script("oracle://host/name")
    down = _migrate("sql", "--url", "mysql://host/name", f"{HEAD}:base", "--down").stdout
    assert down == schema.script("mysql://host/name", f"{HEAD}:base", down=True)


def test_what_cannot_be_done_is_an_error_in_one_line_without_the_password() -> None:
    for arguments in (["current"], ["upgrade"], ["check"]):
        refused = _migrate(*arguments, "--url", "postgresql://u:secret@127.0.0.1:1/x")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("connection error: ")
        assert "secret" not in refused.output
    assert _migrate("current").exit_code == 2  # no URL


def test_unknown_revisions_and_schemes_are_refused(url: str) -> None:
    assert "Can't locate revision" in _migrate("upgrade", "9999", url=url).stderr
    assert "unknown scheme" in _migrate("sql", "--url", "mongodb://host/x").stderr


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"axon-storage {__version__}\n")
    assert __version__ == project["version"]
