"""``python -m benchmarks``: measure the contenders, growth and memory, and write the report."""

import argparse
from contextlib import AsyncExitStack
from pathlib import Path

from sqlalchemy.engine import URL

from benchmarks import growth, loop, memory, report
from benchmarks.agreement import agree
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.databases import DATABASES, Server, UnavailableError, fill, put_back, served
from benchmarks.machine import command, machine
from benchmarks.results import Results
from benchmarks.timing import interleaved
from benchmarks.workloads import FULL, QUICK, Scale, Workload, workloads

_FEWEST_ROUNDS = 5


def main() -> None:
    """Read the command line, run the benchmarks, and write the report."""
    options = _options()
    scale = QUICK if options.quick else FULL
    chosen = [
        workload
        for workload in workloads(scale)
        if not options.workloads or any(word in workload.name for word in options.workloads)
    ]
    results = Results(machine=machine() | {"command": command()}, rounds=options.rounds)
    for name in options.databases:
        try:
            with served(name) as server:
                loop.run(_compare(server, chosen, scale, options.contenders, results))
        except UnavailableError as missing:
            results.missing[name] = str(missing)
    if not options.only_contenders:
        _measure_growth_and_memory(options, scale, results)
    options.output.mkdir(parents=True, exist_ok=True)
    report.write(results, options.output)
    print(f"written: {options.output}/benchmarks.md, benchmarks.svg")


def _measure_growth_and_memory(options: argparse.Namespace, scale: Scale, results: Results) -> None:
    sizes = growth.QUICK_SIZES if options.quick else growth.SIZES
    for name in options.databases if options.growth is None else options.growth:
        if name not in results.missing:
            results.growth[name] = growth.measure(name, sizes, options.rounds, scale.seconds)
    if "postgresql" in options.databases and "postgresql" not in results.missing:
        try:
            results.memory = memory.measure(10_000 if options.quick else 100_000)
        except memory.ChildError as failed:
            results.missing["memory"] = str(failed)


async def _compare(server: Server, chosen: list[Workload], scale: Scale, only: list[str], results: Results) -> None:
    """Run all workloads on one server, with each contender in a database of its own, all open at once."""
    results.versions[server.name] = await server.version()
    async with AsyncExitStack() as stack:
        opened = await _opened(server, scale, only, results, stack)
        await agree(opened, scale.kept)
        contenders = {name: contender for name, (contender, _) in opened.items()}
        loop.freeze()
        for workload in chosen:

            async def after(name: str, workload: Workload = workload) -> None:
                if workload.empties:
                    await put_back(opened[name][1])

            times = await interleaved(workload, contenders, results.rounds, scale.seconds, after)
            results.times.setdefault(server.name, {})[workload.name] = times
            print(server.name, report.line(workload.name, times), flush=True)


async def _opened(
    server: Server, scale: Scale, only: list[str], results: Results, stack: AsyncExitStack
) -> dict[str, tuple[Contender, URL]]:
    opened: dict[str, tuple[Contender, URL]] = {}
    for entry in CONTENDERS:
        if server.name not in entry.databases or (only and entry.name not in {"raw", *only}):
            continue
        try:
            opener = entry.load()
        except ImportError as error:
            results.missing[entry.name] = f"{error.name} is not installed (the dependency group {entry.group})"
            continue
        url = await server.database()
        await fill(url, scale.kept)
        opened[entry.name] = await stack.enter_async_context(opener(url)), url
    return opened


def _options() -> argparse.Namespace:
    names = sorted({entry.name for entry in CONTENDERS})
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a short run into build/benchmarks, to see whether it works"
    )
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--workloads", nargs="+", help="only workloads whose name contains one of these")
    parser.add_argument("--contenders", nargs="+", choices=names, default=[], help="only these, and raw")
    parser.add_argument("--growth", nargs="*", choices=DATABASES, help="measure growth only on these")
    parser.add_argument("--rounds", type=int, default=_FEWEST_ROUNDS)
    parser.add_argument("--only-contenders", action="store_true", help="leave out growth and memory")
    parser.add_argument(
        "--output",
        type=Path,
        help="the directory of the report; by default docs, or build/benchmarks for a partial run",
    )
    options = parser.parse_args()
    if options.rounds < _FEWEST_ROUNDS:
        parser.error(f"a median of fewer than {_FEWEST_ROUNDS} rounds says little")
    part = (
        options.quick
        or options.workloads
        or options.contenders
        or options.only_contenders
        or options.growth is not None
    )
    whole = tuple(options.databases) == DATABASES and not part
    options.output = options.output or Path("docs" if whole else "build/benchmarks")
    return options


if __name__ == "__main__":
    main()
