"""The previous release: the one before the newest revision, taken from the history of the repository."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

COMMIT = "490ac72"
"""The last commit before revision 0005. A new revision sets it to the tag of the last release, or to its own parent."""

REVISION = "0004"
"""The newest revision of the previous release."""


class NoHistoryError(Exception):
    """The repository's history is not here, for example in an archive of the sources."""


def extract(directory: Path) -> Path:
    """Write the sources of the previous release, with its tests, to a directory, and return it."""
    archive = subprocess.run(["git", "archive", COMMIT], cwd=CHECKOUT, capture_output=True, check=False)
    if archive.returncode:
        raise NoHistoryError(archive.stderr.decode().strip())
    directory.mkdir()
    subprocess.run(["tar", "--extract", "--directory", directory], input=archive.stdout, check=True)
    return directory


def environment(sources: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a process that imports the previous release, with the dependencies of this one."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(Path.home()),
        "PYTHONPATH": f"{sources}:{Path(__file__).parent / 'plugin'}",
        "AXON_NEWER_CHECKOUT": str(CHECKOUT),
        **variables,
    }
