"""``python -m tests.versions [--dose] [ROW…]``: run the rows of the matrix, and print a table of what passed."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from tests.servers.process import StartError
from tests.versions import DOSE, ROWS, TESTS, Row
from tests.versions.obtain import ROOT

RESULTS = ROOT / "build/versions"


def main(names: list[str]) -> int:
    """Run the rows with these names, or all; return 1 if a test has failed. ``--dose``: with fewer tests."""
    tests = TESTS
    if "--dose" in names:
        tests = DOSE
        names.remove("--dose")
    known = {row.name: row for row in ROWS}
    if unknown := sorted(set(names) - known.keys()):
        raise SystemExit(f"unknown rows: {', '.join(unknown)}; there are {', '.join(known)}")
    lines = ["| version | " + " | ".join(TESTS) + " | failed |", "|---" * (len(TESTS) + 2) + "|"]
    failed = 0
    for row in [known[name] for name in names] or ROWS:
        line, failures = _run(row, tests)
        failed += failures
        lines.append(line)
        print(line, flush=True)  # noqa: T201  # a command's output
    print("\n" + "\n".join(lines))  # noqa: T201
    return int(failed > 0)


def _run(row: Row, tests: Mapping[str, tuple[str, ...]]) -> tuple[str, int]:
    """Run a row; return its line of the table, and the number of failures."""
    try:
        environment = {**os.environ, **row.environment()}
    except (StartError, OSError, LookupError, subprocess.SubprocessError) as missing:
        reason = str(missing).strip().splitlines()[-1][:120]
        return f"| {row.title} | not available: {reason}" + " |" * (len(TESTS) + 1), 0
    results = RESULTS / f"{row.name}.xml"
    results.unlink(missing_ok=True)
    results.parent.mkdir(parents=True, exist_ok=True)
    python = environment.pop("AXON_MATRIX_PYTHON", sys.executable)
    paths = [path for group in tests.values() for path in group]
    options = ["--numprocesses=2", "--dist=loadgroup", f"--junitxml={results}", "-k", row.select]
    with results.with_suffix(".log").open("w") as log:
        command = [python, "-m", "pytest", *paths, *options]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False)
    if not results.exists():
        return f"| {row.title} | pytest ended with {done.returncode}: see {results.stem}.log" + " |" * 4, 1
    return line_of(row, results)


def line_of(row: Row, results: Path) -> tuple[str, int]:
    """Return the line of a row with the numbers of tests that passed, and the number of failures."""
    passed: Counter[str] = Counter()
    failed = 0
    for case in ElementTree.parse(results).iter("testcase"):  # noqa: S314  # pytest has written it
        outcomes = {part.tag for part in case}
        if outcomes & {"failure", "error"}:
            failed += 1
        elif "skipped" not in outcomes:
            passed[case.get("classname", "").split(".")[1]] += 1
    counts = " | ".join(f"{passed[name]}" for name in TESTS)
    return f"| {row.title} | {counts} | {failed} |", failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
