"""``python -m benchmarks.transfer``: the speed of copy, compared with save_many on the target alone, and its memory."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from axon_storage import StorageDispatcher, open_storage
from axon_storage.transfer import copy, export, import_, verify
from benchmarks import loop, rows
from benchmarks.databases import DATABASES, Server, UnavailableError, address, served
from benchmarks.memory import ChildError, mebibytes, reset_peak

_SAVED_AT_ONCE = 1_000
_CHILD = "from benchmarks.transfer import measure_and_print; measure_and_print()"
_FILES = "AXON_BENCH_FILES"
_URLS = ("AXON_BENCH_SOURCE", "AXON_BENCH_COPY", "AXON_BENCH_SAVED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Rows per second of each step, and the peak memory in MiB above the idle process."""

    rows: int
    saved: float
    copied: float
    verified: float
    above: float
    above_files: float
    exported: float = 0.0
    imported: float = 0.0

    @property
    def ratio(self) -> float:
        """The speed of copy, as a part of that of save_many."""
        return self.copied / self.saved


def measure(database: str, count: int, *, files: bool = True) -> Figures:
    """Copy ``count`` traces from SQLite to a database, in a process of its own."""
    with served("sqlite") as origin, served(database) as server:
        environment = os.environ | loop.run(_urls(origin, server, count)) | {_FILES: "1" if files else ""}
        command = [sys.executable, "-c", _CHILD]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603  # this module
    if done.returncode:  # a traceback may show the URLs with their passwords
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ChildError(f"the copying process failed: {last.partition(':')[0][:80]}")
    return Figures(**orjson.loads(done.stdout))


async def _urls(origin: Server, server: Server, count: int) -> dict[str, str]:
    urls = [await origin.database(), await server.database(), await server.database()]
    async with open_storage(address(urls[0])) as storage:
        await _save(storage, count)
    return dict(zip(_URLS, map(address, urls), strict=True))


async def _save(storage: StorageDispatcher, count: int) -> None:
    view = storage.for_tenant(rows.KEPT)
    for start in range(0, count, _SAVED_AT_ONCE):
        numbers = range(start, min(start + _SAVED_AT_ONCE, count))
        await view.save_many([rows.trace(number, rows.KEPT) for number in numbers])


def measure_and_print() -> None:
    """Measure in this process, and print the figures."""
    print(orjson.dumps(asyncio.run(_measure())).decode())


async def _measure() -> dict[str, float]:
    source_url, copy_url, saved_url = (os.environ[name] for name in _URLS)
    speeds: dict[str, float] = {}
    async with open_storage(source_url) as source, open_storage(copy_url) as target, open_storage(saved_url) as saved:
        for storage in (source, target, saved):
            await storage.is_healthy()
        idle = mebibytes("VmRSS")
        reset_peak()
        started = time.perf_counter()
        count = (await copy(source, target)).rows
        speeds["copied"] = count / (time.perf_counter() - started)
        started = time.perf_counter()
        assert (await verify(source, target)).is_equal
        speeds["verified"] = count / (time.perf_counter() - started)
        above = mebibytes("VmHWM") - idle
        started = time.perf_counter()
        await _save(saved, count)
        speeds["saved"] = count / (time.perf_counter() - started)
        above_files = await _measure_files(source, target, count, speeds) if os.environ[_FILES] else 0.0
    return {"rows": count, "above": above, "above_files": above_files, **speeds}


async def _measure_files(
    source: StorageDispatcher, target: StorageDispatcher, count: int, speeds: dict[str, float]
) -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl.gz"
        idle = mebibytes("VmRSS")
        reset_peak()
        started = time.perf_counter()
        await export(source, file)
        speeds["exported"] = count / (time.perf_counter() - started)
        started = time.perf_counter()
        await import_(target, file)
        speeds["imported"] = count / (time.perf_counter() - started)
        return mebibytes("VmHWM") - idle


def main() -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--without-files", action="store_true", help="do not measure export and import")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    options = parser.parse_args()
    print(f"{options.rows:,} traces from SQLite; rows per second; memory in MiB above the idle process")
    print("| target | save_many | copy | copy / save_many | verify | memory | export (gzip) | import | memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for database in options.databases:
        try:
            found = measure(database, options.rows, files=not options.without_files)
        except (ChildError, UnavailableError) as failed:
            sys.exit(f"{database}: {failed}")
        print(
            f"| {database} | {found.saved:,.0f} | {found.copied:,.0f} | {found.ratio:.2f} | {found.verified:,.0f} "
            f"| {found.above:.0f} | {found.exported:,.0f} | {found.imported:,.0f} | {found.above_files:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
