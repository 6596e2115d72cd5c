"""The command line, without a server."""

import os
import sqlite3
import subprocess
import sys
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


def test_upgrade_check_downgrade_and_stamp(url: str) -> None:
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
    assert _migrate("downgrade", "-1", "--yes", url=url).exit_code == 0
    assert _migrate("downgrade", "base", "-y", url=url).stdout == "no schema\n"


def test_without_a_terminal_a_downgrade_is_refused_and_drops_nothing(url: str) -> None:
    assert _migrate("upgrade", url=url).exit_code == 0
    refused = _migrate("downgrade", "base", url=url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"Downgrade {url} from {HEAD} (head) to base? The tables and columns that later")
    assert refused.stderr.endswith("use --yes to continue without this question.\n")
    assert _migrate("check", url=url).exit_code == 0


def test_the_question_before_a_downgrade_names_the_revision_of_a_step(url: str) -> None:
    assert _migrate("upgrade", "0002", url=url).exit_code == 0
    assert f"Downgrade {url} from 0002 to 0001?" in _migrate("downgrade", "-1", url=url).stderr
    assert f"Downgrade {url} from 0002 to base?" in _migrate("downgrade", "-2", url=url).stderr


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("n", 1, f"{HEAD} (head)"), ("", 1, f"{HEAD} (head)"), ("y", 0, "no schema")]
)
def test_on_a_terminal_a_downgrade_asks_first(url: str, answer: str, code: int, left: str) -> None:
    assert _migrate("upgrade", url=url).exit_code == 0
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, f"{answer}\n".encode())
        command = [sys.executable, "-m", "axon_storage", "migrate", "downgrade", "base", "--url", url]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert done.returncode == code, done.stderr
    assert "[y/N]" in done.stderr
    assert _migrate("current", url=url).stdout == f"{left}\n"


def test_the_question_shows_neither_the_password_nor_options(tmp_path: Path) -> None:
    asked = _migrate("downgrade", "base", "--url", f"sqlite://user:secret@/{tmp_path}/agents.db?key=hidden")
    assert asked.exit_code == 1
    assert "secret" not in asked.output
    assert "hidden" not in asked.output


@pytest.mark.parametrize("revision", ["[/x]", "[red]0001", "[link=http://host]x", ":smile:"])
def test_current_shows_the_revision_of_the_database(url: str, tmp_path: Path, revision: str) -> None:
    assert _migrate("upgrade", url=url).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "agents.db")) as connection, connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", [revision])
    assert _migrate("current", url=url).stdout == f"{revision}\n"
    assert _migrate("check", url=url).stderr == f"{revision}; this package needs {HEAD}\n"


def test_history_lists_every_revision() -> None:
    output = _migrate("history").stdout
    assert all(revision.number in output for revision in schema.history())


def test_grants_prints_the_statements_and_refuses_sqlite() -> None:
    url = "postgresql://host/name"
    printed = _migrate("grants", "--url", url, "--app", "a", "--reader", "r", "--maintenance", "m")
    assert printed.stdout == schema.grants(url, app="a", reader="r", maintenance="m")
    refused = _migrate("grants", "--url", "sqlite:///agents.db", "--app", "a")
    assert refused.exit_code == 2
    assert "permissions of the file" in refused.stderr


def test_sql_prints_the_script() -> None:
    assert _migrate("sql", "--url", "oracle://host/name").stdout == schema.script("oracle://host/name")
    down = _migrate("sql", "--url", "mysql://host/name", f"{HEAD}:base", "--down").stdout
    assert down == schema.script("mysql://host/name", f"{HEAD}:base", down=True)


def test_a_script_of_a_downgrade_needs_the_option_down() -> None:
    refused = _migrate("sql", "0003:0001", "--url", "mysql://host/name")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == "invalid argument: script: 0003:0001 is no upgrade: reverse it, or use --down\n"


def test_a_migration_prints_only_its_steps_and_the_revision(url: str) -> None:
    command = [sys.executable, "-m", "axon_storage", "migrate", "upgrade", "0002", "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "0002\n"
    assert [line.partition(",")[0] for line in done.stderr.splitlines()] == [
        "Running upgrade  -> 0001",
        "Running upgrade 0001 -> 0002",
    ]


def test_a_file_in_no_folder_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "axon_storage", "migrate", "upgrade", "--url", f"sqlite:///{tmp_path}/no/x.db"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "unable to open database file: the folder must exist" in refused.stderr


def test_a_failed_command_prints_one_line_without_the_password() -> None:
    for arguments in (["current"], ["upgrade"], ["check"]):
        refused = _migrate(*arguments, "--url", "postgresql://u:secret@127.0.0.1:1/x")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("connection error: ")
        assert "secret" not in refused.output
    assert _migrate("current").exit_code == 2  # no URL


def test_unknown_revisions_and_schemes_are_refused(url: str) -> None:
    see_history = "see `axon-storage migrate history` for the revisions\n"
    for command, revision, what in (
        ("upgrade", "+9", "upgrade: there is no revision +9 from base"),
        ("upgrade", "9999", "upgrade: there is no revision '9999'"),
        ("stamp", "nope", "stamp: there is no revision 'nope'"),
        ("downgrade", "nope", "there is no revision 'nope'"),
        ("sql", "nope", "script: Can't locate revision identified by 'nope'"),
    ):
        refused = _migrate(command, revision, url=url)
        status = 2 if command == "sql" else 1
        assert (refused.exit_code, refused.stderr) == (status, f"invalid argument: {what}: {see_history}")
    assert _migrate("current", url=url).stdout == "no schema\n"
    assert "unknown scheme" in _migrate("sql", "--url", "mongodb://host/x").stderr


def test_sqlite_cannot_be_adopted(url: str) -> None:
    refused = _migrate("adopt", url=url)
    assert refused.exit_code == 1
    assert refused.stderr == (
        "invalid argument: adopt: an AxonServer's database is PostgreSQL, and this is SQLite: "
        "give the URL of an AxonServer's database, or create new tables with `axon-storage migrate upgrade`\n"
    )


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"axon-storage {__version__}\n")
    assert __version__ == project["version"]


def test_a_timeout_out_of_range_is_refused_in_one_line(url: str) -> None:
    refused = _migrate("upgrade", "--lock-timeout", "0", url=url)
    assert refused.exit_code == 1
    assert refused.stderr == "invalid argument: a timeout must be at least 0.001 and less than 1,000,000 seconds\n"
    assert _migrate("current", url=url).stdout == "no schema\n"
