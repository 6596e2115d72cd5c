"""Every code block of README.md and of the documentation is run."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from axon_storage.cli import app
from tests.docs.pages import PROGRAMS, ROOT, Block, blocks_of, fences_of, pages, parsed_fences_of

MAY_SKIP = {
    "installs a package": 3,
    "needs a PostgreSQL server": 8,
    "needs a MySQL server": 2,
    "needs a Citus cluster": 1,
    "needs the database of a server": 1,
    "needs an Oracle server": 1,
    "needs two databases": 4,
    "needs a database with rows": 3,
    "needs a server and an account of a cloud": 1,
    "needs a checkout": 2,
    "runs in the example's own test": 2,
    "runs in the tests of this project": 6,
}
"""Reasons why a block need not run, each with the most blocks it may have. Their commands must still parse."""

_ASSIGNMENT = re.compile(r"\w+=")
RUNNER = Path(__file__).with_name("run_page.py")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _commands_of(block: Block) -> list[list[str]]:
    """Split each line into words, without the assignments of variables before the program."""
    lines = [shlex.split(line, comments=True) for line in block.code.splitlines()]
    return [words for line in lines if (words := list(dropwhile(_ASSIGNMENT.match, line)))]


def _is_of_the_makefile(block: Block) -> bool:
    return block.is_command and all(command[0] == "make" for command in _commands_of(block))


def _blocks_to_run(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.skip is None and not _is_of_the_makefile(block)]


PAGES_TO_RUN = [page for page in pages() if any(block.language in PROGRAMS for block in _blocks_to_run(page))]


def test_there_are_pages_to_run() -> None:
    assert {"README.md", "docs/index.md", "docs/tutorial.md"} <= {_name(page) for page in PAGES_TO_RUN}


@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=_name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    _run(page, tmp_path)


def test_the_readmes_code_can_be_run_twice(tmp_path: Path) -> None:
    for _ in range(2):
        _run(ROOT / "README.md", tmp_path, outputs=False)


def _run(page: Path, folder: Path, *, outputs: bool = True) -> None:
    blocks = [block for block in _blocks_to_run(page) if outputs or block.attributes.get("title") != "Output"]
    done = _run_blocks(blocks, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr


def _run_blocks(blocks: Sequence[object], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / ".blocks.json"
    file.write_text(json.dumps(blocks), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONWARNINGS"] = "error"
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, RUNNER, file], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_few_blocks_are_skipped_and_each_gives_its_reason() -> None:
    marked = [block for page in pages() for block in blocks_of(page) if "test" in block.attributes]
    assert Counter(block.skip for block in marked) <= Counter(MAY_SKIP)


INCLUDE = re.compile(r'--8<-- "([\w/.-]+)(?::(\w+))?"\n')


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_code_that_runs_elsewhere_is_included_from_a_file(page: Path) -> None:
    for block in blocks_of(page):
        if block.skip is not None and block.skip.startswith("runs in"):
            included = INCLUDE.fullmatch(block.code)
            assert included, block.code
            text = (ROOT / included[1]).read_text(encoding="utf-8")
            assert included[2] is None or f"# --8<-- [start:{included[2]}]" in text


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_the_parser_finds_every_block(page: Path) -> None:
    assert parsed_fences_of(page) == fences_of(page)


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([("python", {}, "print(1)"), ("text", {"title": "Output"}, "2\n")], "the page says\n2"),
        ([("python", {}, "assert False")], "AssertionError"),
        ([("sh", {}, "exit 3")], "exit 3\nfailed"),
    ],
)
def test_a_block_that_fails_fails_its_page(blocks: list[object], error: str, tmp_path: Path) -> None:
    done = _run_blocks(blocks, tmp_path)
    assert done.returncode == 1
    assert error in done.stderr


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_a_file_that_a_page_shows_is_run(page: Path) -> None:
    blocks = blocks_of(page)
    run = "\n".join(block.code for block in blocks if block.is_command and block.skip is None)
    for block in blocks:
        if block.language == "python" and (title := block.attributes.get("title")):
            assert title in run


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_the_commands_of_a_page_parse(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in blocks_of(page):
        for program, *arguments in _commands_of(block) if block.is_command else []:
            if program == "make":
                targets = [argument for argument in arguments if "=" not in argument]
                assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets), arguments
            elif program == "axon-storage":
                # --help makes it parse the options before it, and run nothing
                assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, arguments
