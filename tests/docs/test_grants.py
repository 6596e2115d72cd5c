"""The statements of grants that the documentation shows are those that the command prints."""

import shlex

import pytest
from typer.testing import CliRunner

from axon_storage.cli import app
from tests.docs.pages import ROOT, Block, blocks_of

PAGE = ROOT / "docs" / "how-to" / "accounts.md"
SHOWN = {"postgresql": "postgresql", "mysql": "mysql", "oracle": "oracle", "mariadb": "mysql"}
"""The file that the page shows, by the scheme of the URL."""


def _command_for(scheme: str) -> str:
    [command] = [block.code for block in _commands() if f"{SHOWN[scheme]}:" in block.code]
    return command.replace(f"{SHOWN[scheme]}:", f"{scheme}:")


def _commands() -> list[Block]:
    return [block for block in blocks_of(PAGE) if "migrate grants" in block.code]


@pytest.mark.parametrize("scheme", SHOWN)
def test_the_page_shows_what_the_command_prints(scheme: str) -> None:
    command = _command_for(scheme)
    shown = ROOT / "docs" / "grants" / f"{SHOWN[scheme]}.sql"
    assert f'--8<-- "{shown.relative_to(ROOT)}"' in PAGE.read_text(encoding="utf-8")
    printed = CliRunner().invoke(app, shlex.split(command)[1:])
    assert printed.exit_code == 0
    assert shown.read_text(encoding="utf-8") == printed.stdout, f"run: {command.strip()} > {shown.relative_to(ROOT)}"
