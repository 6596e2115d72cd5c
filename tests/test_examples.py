"""The demo and the README do what they say."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Databases

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mariadb", "mysql"])
async def test_the_demo_loses_nothing(databases: Databases, target: str) -> None:
    environment = os.environ | {"DATABASE_URL": await databases.empty(target)}
    done = await asyncio.to_thread(_run, ROOT / "examples/demo.py", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, nothing twice" in done.stdout


def _run(script: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)


def test_the_recorded_workload_is_what_the_recorder_makes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/record_workload.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "examples/workload.jsonl").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", _blocks("python"))
def test_the_readmes_python_works_when_pasted(block: str, tmp_path: Path) -> None:
    for _ in range(2):  # a reader pastes it again
        _paste(block, tmp_path)


def _paste(block: str, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readmes_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"^make (\w+)", "\n".join(_blocks("sh")), re.MULTILINE)
    assert {"demo", "test"} <= set(commands)
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
