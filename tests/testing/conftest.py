"""A project of a user of the library, with its own pytest configuration."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

Project = Callable[..., tuple[Counter[str], str]]
"""Runs pytest with the files of a project, and returns the numbers of its outcomes and its output."""

# The plugin is given by its name, as the entry point of an installed package does.
OPTIONS = ("-p", "axon_storage.testing.plugin", "-p", "no:cacheprovider", "-q", "-rfExX", "--strict-markers")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    def run(*arguments: str, mode: str = "strict", missing: str = "", **files: str) -> tuple[Counter[str], str]:
        """Run a project. ``mode``: that of pytest-asyncio. ``missing``: a module that is not installed."""
        settings = "" if missing else f"asyncio_mode = {mode}\nfilterwarnings = error\n"
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{settings}")
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        done = _pytest(tmp_path, missing, [*OPTIONS, *arguments])
        last = done.stdout.strip().rpartition("\n")[2]
        found = re.findall(r"(\d+) (passed|failed|errors?|xfailed|warnings?)", last)
        return Counter({name: int(number) for number, name in found}), done.stdout + done.stderr

    return run


def _pytest(directory: Path, missing: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    start = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    if missing:
        start = f"import sys; sys.modules[{missing!r}] = None; {start}"
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # their plugins need the module
    command = [sys.executable, "-c", start, *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
