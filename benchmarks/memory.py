"""``python -m benchmarks.memory``: the memory that reading a tenant's traces through the iterator takes."""

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

_CHILD = "from benchmarks.memory import restore_and_print; restore_and_print()"


def measure(count: int) -> Memory:
    """Read ``count`` traces from PostgreSQL in a process of its own, and return the memory that this took."""
    with served("postgresql") as server:
        url = loop.run(_filled(server, count))
        # in the environment, because other users can see a command line
        environment = os.environ | {"DATABASE_URL": address(url)}
        command = [sys.executable, "-c", _CHILD]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603  # this module
    if done.returncode:  # a traceback may show the URL with its password
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ChildError(f"the restoring process failed: {last.partition(':')[0][:80]}")
    found = orjson.loads(done.stdout)
    if found["rows"] != count:
        raise ChildError(f"{found['rows']} of {count} traces were restored")
    return Memory(**found)


class ChildError(Exception):
    """The reading process failed. The message does not show the URL."""


async def _filled(server: Server, count: int) -> URL:
    url = await server.database()
    await fill(url, count)
    return url


def restore_and_print() -> None:
    """Read all traces of the kept tenant, and print the memory that this took."""
    print(orjson.dumps(asyncio.run(_restore())).decode())


async def _restore() -> dict[str, float]:
    async with open_storage() as storage:
        await storage.is_healthy()
        idle, count = mebibytes("VmRSS"), 0
        reset_peak()
        async for _ in storage.for_tenant(rows.KEPT).iter_traces():
            count += 1
        return {"rows": count, "idle": idle, "above": mebibytes("VmHWM") - idle}


def reset_peak() -> None:
    """Forget the peak of this process's memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak of starting up


def mebibytes(name: str) -> float:
    """Return a size in this process's status, such as ``VmRSS``, in MiB."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None  # Linux has both
    return int(found[1]) / 1024


def main() -> None:
    """Read the command line, measure, and print the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    try:
        memory = measure(parser.parse_args().rows)
    except (ChildError, UnavailableError) as failed:
        sys.exit(str(failed))
    print(f"{memory.rows:,} traces restored: {memory.above:.1f} MiB above the idle process's {memory.idle:.1f} MiB")


if __name__ == "__main__":
    main()
