"""The demo: an agent server is killed half-way through its workload, starts again, and has lost nothing.

It runs on a new SQLite file, or on the database of ``DATABASE_URL``, where it leaves the rows of its own tenants.
It exits with 1 on any difference.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from agent_server import ROW_TYPE, State, read_workload
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
WORKLOAD = HERE / "workload.jsonl"

Summary = dict[str, dict[str, Any]]


def main() -> int:
    """Run the server twice, and compare its reports with the workload."""
    run = f"-{uuid4().hex[:8]}"
    rows = list(read_workload(WORKLOAD, run))
    with _database() as (environment, where):
        console = Console()
        console.print(f"{len(rows)} recorded rows of {len(ROW_TYPE)} types, two tenants, on {where}")
        stored = _serve(run, environment, until=len(rows) // 2)[-1].get("stored", 0)
        console.print(f"killed with SIGKILL after row {stored}; starting again")
        first, *_, last = _serve(run, environment)
    # only the storage knows whether the row that was being written at the kill is stored
    expected = _expected(rows[: first["position"]])
    console.print(_table(expected, first["restored"], last["held"]))
    problems = _problems(stored, first, last, expected, _expected(rows))
    for problem in problems:
        console.print(f"[bold red]{problem}")
    console.print("[bold red]something was lost" if problems else "[bold green]nothing lost, nothing twice")
    return 1 if problems else 0


@contextmanager
def _database() -> Iterator[tuple[dict[str, str], str]]:
    """Yield the environment of the server, and the name of its database."""
    with tempfile.TemporaryDirectory() as directory:
        url = os.environ.get("DATABASE_URL") or f"sqlite:///{directory}/agent.db"
        yield {**os.environ, "DATABASE_URL": url}, url.partition(":")[0]


def _serve(run: str, environment: dict[str, str], until: int | None = None) -> list[dict[str, Any]]:
    """Run the server to its end, or kill it after ``until`` rows; return its reports."""
    command = [sys.executable, str(HERE / "agent_server.py"), str(WORKLOAD), run]
    reports = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:  # noqa: S603  # ours
        assert server.stdout is not None  # noqa: S101  # it is a pipe
        for line in server.stdout:
            if not line.endswith("\n"):
                break  # killed while it wrote a line
            reports.append(json.loads(line))
            if until is not None and reports[-1].get("stored") == until:
                server.send_signal(signal.SIGKILL)
    if server.returncode != (0 if until is None else -signal.SIGKILL):
        raise SystemExit(f"the server ended with {server.returncode}")
    return reports


def _expected(rows: list[Any]) -> Summary:
    state = State()
    for row in rows:
        state.apply(row)
    summary: Summary = state.summary()
    return summary


def _problems(
    stored: int, first: dict[str, Any], last: dict[str, Any], restored: Summary, finished: Summary
) -> list[str]:
    problems = []
    if first["position"] not in (stored, stored + 1):
        problems.append(f"{stored} rows were acknowledged, the storage has {first['position']}")
    for table in ROW_TYPE:
        if first["restored"][table] != restored[table]:
            problems.append(f"{table}: the restored rows are not those that were written")
        if not last["held"][table] == last["stored"][table] == finished[table]:
            problems.append(f"{table}: the rows at the end are not those of the workload")
    return problems


def _table(written: Summary, restored: Summary, held: Summary) -> Table:
    table = Table("row type", title="rows, updates of one row counted once")
    for column in ("written before the kill", "restored after it", "held at the end"):
        table.add_column(column, justify="right")
    for name in ROW_TYPE:
        table.add_row(name, *(str(summary[name]["rows"]) for summary in (written, restored, held)))
    return table


if __name__ == "__main__":
    sys.exit(main())
