"""``python -m benchmarks.memory``: what restoring a tenant's traces through the iterator takes of memory."""

import argparse
import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
from sqlalchemy.engine import URL

from axon_storage import open_storage
from benchmarks import loop, rows
from benchmarks.databases import Server, UnavailableError, address, fill, served
from benchmarks.results import Memory

_CHILD = "from benchmarks.memory import restore_and_tell; restore_and_tell()"


def measure(count: int) -> Memory:
    """Restore so many traces from PostgreSQL in a process of its own, and give what that told."""
    with served("postgresql") as server:
        url = loop.run(_filled(server, count))
        # by the environment: a command line is there for all to see
        environment = os.environ | {"DATABASE_URL": address(url)}
        command = [sys.executable, "-c", _CHILD]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603  # ourselves
    if done.returncode:  # a traceback may quote the URL, and so the password
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ChildError(f"the restoring process failed: {last.partition(':')[0][:80]}")
    told = orjson.loads(done.stdout)
    if told["rows"] != count:
        raise ChildError(f"{told['rows']} of {count} traces were restored")
    return Memory(**told)


class ChildError(Exception):
    """The restoring process came to a bad end; the message has nothing of the URL."""


async def _filled(server: Server, count: int) -> URL:
    url = await server.database()
    await fill(url, count)
    return url


def restore_and_tell() -> None:
    """Restore all traces of the kept tenant, and print what that took."""
    print(orjson.dumps(asyncio.run(_restore())).decode())


async def _restore() -> dict[str, float]:
    async with open_storage() as storage:
        await storage.is_healthy()
        idle, count = _mebibytes("VmRSS"), 0
        _forget_peak()
        async for _ in storage.for_tenant(rows.KEPT).iter_traces():
            count += 1
        return {"rows": count, "idle": idle, "above": _mebibytes("VmHWM") - idle}


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # that of starting up


def _mebibytes(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None  # Linux has both
    return int(found[1]) / 1024


def main() -> None:
    """Read the command line, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    try:
        memory = measure(parser.parse_args().rows)
    except (ChildError, UnavailableError) as failed:
        sys.exit(str(failed))
    print(f"{memory.rows:,} traces restored: {memory.above:.1f} MiB above the idle process's {memory.idle:.1f} MiB")


if __name__ == "__main__":
    main()
