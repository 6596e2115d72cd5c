"""Where the server programs are, and how to get them where they are missing (Debian or Ubuntu, as root)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zlib import crc32

from tests.servers import oracle_double as oracle
from tests.servers.apt import COMPLETE, apt_install, distribution, unpack
from tests.servers.process import StartError, run

REQUIREMENTS = Path(oracle.__file__).parent / "requirements.txt"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axon-storage"

# The suite that has MySQL, and its packages there; Ubuntu has it in its own suite.
MYSQL_PACKAGES = {
    "debian": ("sid", ("mysql-server-core", "mysql-client-core")),
    "ubuntu": (None, ("mysql-server-core-8.0", "mysql-client-core-8.0")),
}


def postgresql() -> Path | None:
    """The directory of PostgreSQL's programs, the newest that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("postgres")
    return Path(program).resolve().parent if program and shutil.which("initdb") else None


def mariadb() -> Path | None:
    """The directory of MariaDB's programs."""
    program = shutil.which("mariadb-install-db")
    server = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(program).parent if program and server else None


def mysql() -> Path | None:
    """The root below which MySQL is unpacked."""
    root = CACHE / "mysql" / "root"
    return root if (root.parent / COMPLETE).exists() else None


def oracle_double() -> oracle.Programs | None:
    """What the Oracle double runs on."""
    programs, python = postgresql(), _double() / "bin/python"
    if programs is None or not (_double() / COMPLETE).exists() or not _orafce(programs).exists():
        return None
    return oracle.Programs(python, programs)


def _double() -> Path:
    """The virtual environment with the double's packages; other packages are another environment."""
    return CACHE / f"oracle-double-{crc32(REQUIREMENTS.read_bytes()):08x}"


def _orafce(programs: Path) -> Path:
    return Path("/usr/share/postgresql") / programs.parent.name / "extension/orafce.control"


def install(*, double: bool) -> list[str]:
    """Get what is missing; give a line for each server that cannot be had here, and why."""
    problems = []
    wanted = [
        ("PostgreSQL", postgresql, _install_postgresql),
        ("MariaDB", mariadb, _install_mariadb),
        ("MySQL", mysql, _unpack_mysql),
        *([("the Oracle double", oracle_double, _install_oracle_double)] if double else []),
    ]
    for name, find, get in wanted:
        if find() is None:
            print(f"getting {name} for the tests …", flush=True)  # noqa: T201  # a minute's silence looks like a hang
            try:
                get()
            except (StartError, OSError, LookupError, subprocess.SubprocessError) as error:
                problems.append(f"{name}: {error}")
    return problems


def _install_postgresql() -> None:
    _require_root()
    # no cluster of its own on the standard port: only the programs are wanted
    settings = Path("/etc/postgresql-common/createcluster.conf")
    ours = not settings.exists()
    if ours:
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\n")
    try:
        apt_install("postgresql")
    finally:
        if ours:
            settings.unlink(missing_ok=True)


def _install_mariadb() -> None:
    _require_root()
    # the core packages have the programs and start no service
    apt_install("mariadb-server-core", "mariadb-client-core")


def _unpack_mysql() -> None:
    _require_root()
    unpack(*MYSQL_PACKAGES[distribution()], CACHE / "mysql")


def _install_oracle_double() -> None:
    programs, home = postgresql(), _double()
    if programs is None:
        raise StartError("it needs PostgreSQL")
    if not _orafce(programs).exists():
        _require_root()
        apt_install(f"postgresql-{programs.parent.name}-orafce")
    run(sys.executable, "-m", "venv", "--clear", home)
    run(home / "bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", REQUIREMENTS)
    (home / COMPLETE).touch()


def _require_root() -> None:
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise StartError("not on this machine, and getting it needs root and apt")
