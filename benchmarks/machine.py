"""The environment of a run: the machine, the speed of its disk's sync, and versions."""

import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.loop import loop_factory

PACKAGES = (
    "axon-storage", "SQLAlchemy", "asyncpg", "aiomysql", "aiosqlite", "orjson", "uvloop", "psycopg",
    "advanced-alchemy", "langgraph-checkpoint-postgres", "openai-agents",
)  # fmt: skip


def machine() -> dict[str, str]:
    """Return the facts about this machine and run."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')}, Linux {platform.release()}",
        "sync": f"{sync_milliseconds():.2f} ms for the fdatasync of a written page, median of 200",
        "Python": f"{platform.python_version()}, event loop of {loop_factory().__module__.partition('.')[0]}",
        "packages": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    }


def sync_milliseconds() -> float:
    """Measure how long a write to disk takes; no durable commit by itself can be faster."""
    times = []
    with tempfile.TemporaryFile() as file:
        for number in range(200):
            os.pwrite(file.fileno(), bytes(8192), number * 8192)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return median(times) * 1000


def command() -> str:
    """Return the command line of this run."""
    return " ".join(["python -m benchmarks", *sys.argv[1:]])


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
