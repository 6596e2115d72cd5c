"""``python -m tests.faults.walk``: random walks on one database, as many as you like."""

import argparse
import asyncio
import json
import tempfile
import time
from math import inf
from pathlib import Path

from tests.databases import Databases
from tests.faults.walk.program import Program
from tests.faults.walk.report import Report
from tests.faults.walk.runs import Walk, make_walk, prepare
from tests.servers import Servers

TARGETS = ("sqlite", "postgresql", "mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy")


def main() -> None:
    """Read the command line, walk, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.walk", description=__doc__)
    parser.add_argument("--target", choices=TARGETS, default="sqlite")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each further run adds 1")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=inf, help="start no further run after so many seconds")
    parser.add_argument("--calls", type=int, default=300, help="in each run, of all processes together")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--replay", type=Path, help="a file with the line that a failed run printed")
    parser.add_argument("--no-shrink", action="store_true")
    options = parser.parse_args()
    servers = Servers()
    try:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(_walk(options, Databases(servers, Path(directory))))
    finally:
        servers.stop()


async def _walk(options: argparse.Namespace, databases: Databases) -> None:
    end = time.monotonic() + options.seconds
    report = Report(options.target, shrinks=not options.no_shrink)
    url = await databases.empty(options.target)
    try:
        await prepare(url)
        for seed in range(options.seed, options.seed + options.runs):
            replayed = options.replay and _read(options.replay)
            await report.run(url, replayed or make_walk(seed, options.calls, options.processes))
            if time.monotonic() > end:
                break
    finally:
        print(report.summary(), flush=True)  # noqa: T201  # a command's output
        await databases.close()


def _read(file: Path) -> Walk:
    return [Program.from_json(json.dumps(program)) for program in json.loads(file.read_text())]


if __name__ == "__main__":
    main()
