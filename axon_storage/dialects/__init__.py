"""The databases served; a further one is a file here and a line in :data:`DIALECTS`."""

from sqlalchemy.engine.interfaces import Dialect as SqlAlchemyDialect

from axon_storage.dialects.base import WRITTEN_ONCE, Dialect, ErrorClass, Tls, UnsupportedServer, execute
from axon_storage.dialects.mysql import MariaDB, MySQL
from axon_storage.dialects.oracle import Oracle
from axon_storage.dialects.postgresql import PostgreSQL
from axon_storage.dialects.sqlite import SQLite

__all__ = [
    "DIALECTS",
    "WRITTEN_ONCE",
    "Dialect",
    "ErrorClass",
    "Tls",
    "UnsupportedServer",
    "dialect_of",
    "execute",
    "of_driver",
    "of_scheme",
]

_MARIADB = MariaDB()
DIALECTS: tuple[Dialect, ...] = (SQLite(), PostgreSQL(), MySQL(), Oracle())


def of_scheme(scheme: str) -> Dialect:
    """The dialect that takes a URL scheme; an unknown one is a ValueError."""
    for dialect in DIALECTS:
        if scheme in dialect.schemes:
            return dialect
    known = ", ".join(f"{scheme}://" for dialect in DIALECTS for scheme in dialect.schemes if "+" not in scheme)
    raise ValueError(f"unknown scheme {scheme[:40]!r}: use {known}")


def dialect_of(inner: SqlAlchemyDialect) -> Dialect:
    """The dialect behind one of SQLAlchemy's; what a MySQL URL really leads to is known once it has connected."""
    if getattr(inner, "is_mariadb", False):
        return _MARIADB
    for dialect in DIALECTS:
        if inner.name in dialect.schemes:
            return dialect
    raise LookupError(inner.name)


def of_driver(inner: SqlAlchemyDialect) -> Dialect:
    """The dialect behind one of SQLAlchemy's, if its driver is one that is served; else a ValueError."""
    scheme = f"{inner.name}+{inner.driver}"
    if not any(scheme in dialect.schemes for dialect in DIALECTS):
        raise ValueError(f"the driver {scheme} is not supported")
    return dialect_of(inner)
