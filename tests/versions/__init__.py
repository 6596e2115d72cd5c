"""The rows of `make matrix`: each is a version of a server, of Python or of a package, and how a machine gets it.

The job ``versions`` of the workflow has the same rows. There a row with an ``image`` runs on a server of that image.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tests.versions import obtain

TESTS = {
    "conformance": ("tests/conformance",),
    "migrations": ("tests/migrations",),
    "faults": ("tests/faults/test_connections.py", "tests/faults/test_retries.py", "tests/faults/test_cancellation.py"),
}
"""What a row runs: three columns of the table."""

DOSE = {
    "conformance": tuple(
        f"tests/conformance/test_{name}.py" for name in ("creates", "group_commit", "plans", "saves", "summaries")
    ),
    "migrations": ("tests/migrations/test_migrations.py",),
    "faults": ("tests/faults/test_connections.py",),
}
"""What a row runs with ``--dose``: the files whose statements depend most on a version."""


@dataclass(frozen=True)
class Row:
    """One version, or one set of packages.

    ``select``: the targets, as pytest's ``-k``. ``get`` returns environment variables with which the tests use it, and
    raises :class:`tests.servers.process.StartError` if this machine cannot have it. ``image``: of a server.
    """

    name: str
    title: str
    select: str
    get: Callable[[], Mapping[str, str]]
    image: str = ""

    @property
    def server(self) -> str:
        """The kind of server that the row tests, or an empty string."""
        return self.image.partition(":")[0].replace("postgres", "postgresql")

    def environment(self) -> Mapping[str, str]:
        """Get what the row needs, unless a server is given (``AXON_TEST_<KIND>_URL``)."""
        given = self.server and os.environ.get(f"AXON_TEST_{self.server.upper()}_URL")
        return {} if given else self.get()


_ANY = "(sqlite or postgresql) and not pgbouncer"
"""The targets of a row whose versions do not depend on the database."""

_EVERY = "(sqlite or postgresql or mysql or mariadb or double-23ai) and not pgbouncer"
"""The targets of a row with other drivers."""

OLDEST = (
    "sqlalchemy==2.0.58",
    "alembic==1.16.0",
    "aiosqlite==0.22.1",
    "orjson==3.10.0",
    "asyncpg==0.30.0",
    "aiomysql==0.3.2",
    "pymysql==1.1.1",
    "asyncmy==0.2.11",
    "oracledb==26.0.0",
)
"""The oldest packages that pyproject.toml allows."""


def _postgresql(version: str, package: str) -> Row:
    major = version.partition(".")[0]
    get = partial(obtain.postgresql, package)
    return Row(f"postgresql-{major}", f"PostgreSQL {version}", "postgresql and not pgbouncer", get, f"postgres:{major}")


ROWS = (
    _postgresql("13.23", "13.23.0-beta.16"),
    _postgresql("14.23", "14.23.0-beta.17"),
    _postgresql("15.18", "15.18.0-beta.17"),
    _postgresql("16.14", "16.14.0-beta.17"),
    _postgresql("17.10", "17.10.0-beta.17"),
    _postgresql("18.4", "18.4.0-beta.17"),
    Row("mariadb-10.11", "MariaDB 10.11", "mariadb", partial(obtain.mariadb, "bookworm"), "mariadb:10.11"),
    Row("mariadb-11.8", "MariaDB 11.8", "mariadb", partial(obtain.mariadb, "trixie"), "mariadb:11.8"),
    Row("mysql-8.4", "MySQL 8.4", "mysql", partial(obtain.nothing, "mysql"), "mysql:8.4"),
    Row("mysql-9.7", "MySQL 9.7", "mysql", obtain.installed, "mysql:9.7"),
    Row("sqlite-3.37", "SQLite 3.37", "sqlite", partial(obtain.sqlite_here, "3.37")),
    Row("sqlite-3.40", "SQLite 3.40", "sqlite", partial(obtain.sqlite_here, "3.40")),
    Row("sqlite-3.42", "SQLite 3.42", "sqlite", partial(obtain.sqlite_here, "3.42")),
    Row("sqlite-3.53", "SQLite 3.53.4", "sqlite", partial(obtain.sqlite, "pyproj==3.8.0", "3.53.4")),
    Row("python-3.12", "Python 3.12", _ANY, partial(obtain.python, "3.12")),
    Row("python-3.13", "Python 3.13", _ANY, partial(obtain.python, "3.13")),
    Row("python-3.14", "Python 3.14", _ANY, partial(obtain.python, "3.14")),
    Row("sqlalchemy-2.0", "SQLAlchemy 2.0.58", _ANY, partial(obtain.packages, "sqlalchemy==2.0.58")),
    Row(
        "oldest-packages",
        "the oldest packages",
        _EVERY,
        partial(obtain.packages, *OLDEST),
    ),
    Row(
        "newest-packages",
        "the newest packages",
        _EVERY,
        obtain.installed,
    ),
    Row("pgbouncer-1.18", "pgbouncer 1.18", "pgbouncer-1.18", partial(obtain.pgbouncer, "old")),
    Row("pgbouncer-new", "pgbouncer 1.26", "pgbouncer and not pgbouncer-1.18", partial(obtain.pgbouncer, "new")),
)
"""Every supported version that can be had. PostgreSQL 15 is also what `make test` uses where Debian 12 has it."""
