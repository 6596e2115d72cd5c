"""``python -m tests.faults.walk.worker``: one process of a walk, started by ``runs``."""

import asyncio
import json
import sys

from tests.faults.walk.player import Player
from tests.faults.walk.program import Program


def main() -> None:
    """Read the program from stdin, wait until all processes are ready, play it, and print the ledger."""
    order = json.loads(sys.stdin.readline())
    program = Program.from_json(order["program"])
    print("ready", flush=True)  # noqa: T201  # for the process that started this one
    sys.stdin.readline()
    print(json.dumps(asyncio.run(_play(program, order["url"], order["tenant"], order["process"]))))  # noqa: T201


async def _play(program: Program, url: str, tenant: str, process: int) -> object:
    player = Player(program, url, tenant, process)
    await player.play()
    return player.ledger.to_json()


if __name__ == "__main__":
    main()
