"""No command prints the password of its URL: not in its help, its errors or its log."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from axon_storage import schema
from axon_storage.cli import app
from tests.security.reports import PASSWORD

SPECIAL, ESCAPED = f"{PASSWORD}@/:?", f"{PASSWORD}%40%2F%3A%3F"

WITH_URL: dict[str, list[str]] = {
    "stats": [],
    "doctor": [],
    "doctor --json": [],
    "tenants list": [],
    "tenants erase": ["acme", "--yes"],
    "tenants where": [],
    "tenants move": ["acme", "--to", "a", "--databases", "sqlite:///{folder}/{{tenant}}.db"],
    "show": ["events"],
    "traces": [],
    "tail": [],
    "costs": [],
    "prune": ["--events", "1d"],
    "export": ["{folder}/agents.jsonl"],
    "import": ["{folder}/there.jsonl", "--yes"],
    "audit seal": [],
    "audit verify": [],
    "report": ["--out", "{folder}/report.html"],
    "backup": ["{folder}/backup.db"],
    "bench": ["--seconds", "0.1"],
    "migrate current": [],
    "migrate check": [],
    "migrate upgrade": [],
    "migrate downgrade": ["base", "--yes"],
    "migrate stamp": ["head"],
    "migrate adopt": [],
    "migrate sql": [],
    "migrate grants": ["--app", "app"],
    "migrate secure": [],
    "migrate distribute": [],
    "keys status": ["--keyring", "{folder}/keys.json"],
    "keys rotate": ["--keyring", "{folder}/keys.json"],
    "keys retire": ["{folder}/keys.json", "old"],
}
"""The arguments of each command that takes ``--url``."""

WRONG = [
    f"{PASSWORD}",
    f"ada:{PASSWORD}@127.0.0.1/agents",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:port/agents",
    f"postgresql://ada:a@{PASSWORD}@127.0.0.1/agents",
    f"mongodb://ada:{PASSWORD}@127.0.0.1/agents",
    f"mysql://ada:{PASSWORD}@127.0.0.1",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:1/agents?nonsense=1",
    f"postgresql://ada:{ESCAPED}@127.0.0.1:1/agents?nonsense=1",
    f"postgresql://ada@127.0.0.1:1/agents?password={PASSWORD}&nonsense=1",
    f"sqlite:///nowhere.db?password={PASSWORD}",
]


def _commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Yield each command with its words."""
    yield " ".join(path), command
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, *path, name)


COMMANDS = dict(_commands(typer.main.get_command(app)))


async def _run(*arguments: str, url: str) -> tuple[int, str]:
    """Run a command with ``DATABASE_URL``; check its error, and return its status and all that it wrote."""
    done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env={"DATABASE_URL": url})
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    return done.exit_code, done.output + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_help_does_not_show_the_url_of_the_environment(command: str) -> None:
    for url in (f"postgresql://ada:{PASSWORD}@db.example/agents", f"mysql://ada:{ESCAPED}@db.example/agents"):
        status, written = await _run(*command.split(), "--help", url=url)
        assert status == 0
        assert "Usage" in written
        assert PASSWORD not in written


def test_every_command_that_takes_a_url_is_run_here() -> None:
    takes_url = {name for name, each in COMMANDS.items() if any("--url" in option.opts for option in each.params)}
    assert takes_url == {name.removesuffix(" --json") for name in WITH_URL}


@pytest.mark.parametrize("command", WITH_URL)
async def test_a_command_with_a_url_that_cannot_be_used(command: str, tmp_path: Path) -> None:
    arguments = [each.format(folder=tmp_path) for each in WITH_URL[command]]
    keys = str(tmp_path / "keys.json")
    await _run("keys", "generate", keys, "old", url="")
    await _run("keys", "add", keys, "new", url="")
    await _run("keys", "activate", keys, "new", url="")
    for number, url in enumerate(WRONG):
        given = ["--url", url] if number % 2 else []
        status, written = await _run(*command.split(), *arguments, *given, url=url)
        assert status != 0 or command in {"migrate sql", "migrate grants", "migrate current"}, (url, written)
        assert PASSWORD not in written


@pytest.mark.parametrize("command", ["copy", "verify"])
async def test_a_copy_with_a_url_that_cannot_be_used(command: str, tmp_path: Path) -> None:
    good = f"sqlite:///{tmp_path}/agents.db"
    await schema.upgrade(good)
    for url in WRONG:
        for given in ([url, good], [good, url]):
            status, written = await _run(command, *given, url=good)
            assert status != 0
            assert PASSWORD not in written


@pytest.mark.parametrize("target", ["postgresql", "mysql", "mariadb"])
async def test_a_command_whose_password_is_wrong(url: str) -> None:
    wrong = make_url(url).set(password=SPECIAL).render_as_string(hide_password=False)
    for command in (["doctor"], ["stats"], ["copy", wrong, "sqlite:///new.db"]):
        status, written = await _run(*command, url=wrong)
        assert status == 1, written
        assert PASSWORD not in written
