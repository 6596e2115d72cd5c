"""The wheel has all that a migration needs: command and code upgrade each database without a checkout."""

import fcntl
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from axon_storage import schema
from tests.doses import EVERYTHING

CHECKOUT = Path(__file__).parents[2]
FROM_CODE = "import asyncio, sys; from axon_storage import schema; asyncio.run(schema.upgrade(sys.argv[1]))"


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "PYTHONPATH"}}
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(shared: Path) -> Path:
    """The wheel, built from the source distribution, once for all test processes."""
    built = shared / "dist"
    with (shared / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(built.glob("*.whl")):
            _run(sys.executable, "-m", "build", "--outdir", built, cwd=CHECKOUT)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Path:
    """The programs of a virtual environment with the wheel and every driver, in the versions that the tests use.

    `make matrix` installs the dependencies that the wheel names; `make test` uses those of this environment.
    """
    home = wheel.parent / "venv"
    with (wheel.parent / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _run(sys.executable, "-m", "venv", home, cwd=wheel.parent)
            pip = (home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            if EVERYTHING:
                _run(*pip, "--constraint", CHECKOUT / "constraints.txt", f"{wheel}[all,testing]", cwd=wheel.parent)
            else:
                _run(*pip, "--no-deps", wheel, cwd=wheel.parent)
                paths = sysconfig.get_path("purelib"), sysconfig.get_path("purelib", vars={"base": str(home)})
                Path(paths[1], "dependencies.pth").write_text(paths[0])
            (home / "complete").touch()
    return home / "bin"


def test_the_wheel_has_every_migration(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for path in (CHECKOUT / "migrations").rglob("*.py"):
        assert f"axon_storage/{path.relative_to(CHECKOUT)}" in names


def test_the_installed_command_upgrades_and_downgrades(installed: Path, url: str, tmp_path: Path) -> None:
    command, head = (installed / "axon-storage", "migrate"), schema.head()
    assert _run(*command, "current", cwd=tmp_path, DATABASE_URL=url) == "no schema\n"
    assert _run(*command, "upgrade", cwd=tmp_path, DATABASE_URL=url) == f"{head} (head)\n"
    assert _run(*command, "check", "--url", url, cwd=tmp_path) == f"{head} (head): no difference\n"
    assert _run(*command, "downgrade", "base", "--yes", "--url", url, cwd=tmp_path) == "no schema\n"
    _run(installed / "python", "-c", FROM_CODE, url, cwd=tmp_path)
    assert _run(*command, "current", cwd=tmp_path, DATABASE_URL=url) == f"{head} (head)\n"


def test_without_its_extra_the_command_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    hide = "import sys; sys.modules['typer'] = None; from axon_storage.__main__ import main; main()"
    done = subprocess.run([installed / "python", "-c", hide], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == 'this command needs the module typer: pip install "axon-storage[cli]"\n'
    assert done.stdout == ""


def test_the_installed_pytest_plugin_gives_each_test_a_database(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "def test_own(ephemeral_url): assert ephemeral_url.startswith('sqlite:///')\n"
    )
    assert "1 passed" in _run(installed / "python", "-m", "pytest", "-q", cwd=tmp_path)
