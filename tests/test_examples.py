"""The demo, and the recorded workload."""

import asyncio
import os
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


async def test_a_traced_request_has_its_calls_and_the_group_commits_that_carried_them(databases: Databases) -> None:
    environment = os.environ | {"DATABASE_URL": await databases.empty("sqlite")}
    done = await asyncio.to_thread(_run, ROOT / "examples/traced_request.py", environment)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("POST /runs: ")
    assert [line.split()[0] for line in lines if line.startswith("  ") and "linked" not in line] == [
        "save_session",
        *["append_event"] * 3,
    ]
    assert sum("linked from: BATCH" in line for line in lines) == 4


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mariadb", "mysql"])
async def test_the_openai_agent_remembers_after_its_process_has_ended(databases: Databases, target: str) -> None:
    environment = os.environ | {"DATABASE_URL": await databases.empty(target)}
    script = ROOT / "examples/openai_agent.py"
    for number, text in enumerate(("I am Ada", "Who am I?"), start=1):
        done = await asyncio.to_thread(_run, script, environment, "session", text)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout == f"That was text {number}. The first was: I am Ada\n"


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mariadb", "mysql"])
async def test_the_langgraph_agent_continues_in_another_process(databases: Databases, target: str) -> None:
    environment = os.environ | {"DATABASE_URL": await databases.empty(target)}
    script = ROOT / "examples/langgraph_agent.py"
    said = []
    for text in ("the weather", "yes", "the news", "no"):
        done = await asyncio.to_thread(_run, script, environment, "thread", text)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert said == [
        "I will look up: the weather. May I?\n",
        "You said 'yes' after 2 messages.\n",
        "I will look up: the news. May I?\n",
        "You said 'no' after 5 messages.\n",
    ]


def _run(script: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_recorded_workload_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/record_workload.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "examples/workload.jsonl").read_text(encoding="utf-8")
