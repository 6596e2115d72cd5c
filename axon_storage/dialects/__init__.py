"""The supported databases: one dialect each. A new one needs a module here and an entry in :data:`DIALECTS`."""

from weakref import WeakKeyDictionary

from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.engine.interfaces import Dialect as SqlAlchemyDialect

from axon_storage.dialects.base import Dialect, Tls, UnsupportedServer
from axon_storage.dialects.distribution import Distribution, Place
from axon_storage.dialects.errors import ErrorClass, before_values
from axon_storage.dialects.hosts import Host, Hosts
from axon_storage.dialects.mysql import MariaDB, MySQL
from axon_storage.dialects.oracle import Oracle
from axon_storage.dialects.postgresql import PostgreSQL
from axon_storage.dialects.postgresql.citus import Citus
from axon_storage.dialects.sqlite import SQLite
from axon_storage.dialects.statements import APPEND_ONLY, FILLFACTOR, VERSION_TABLE, WRITTEN_ONCE, execute
from axon_storage.dialects.versions import dotted

__all__ = [
    "APPEND_ONLY",
    "DIALECTS",
    "FILLFACTOR",
    "VERSION_TABLE",
    "WRITTEN_ONCE",
    "Dialect",
    "Distribution",
    "ErrorClass",
    "Host",
    "Hosts",
    "Place",
    "Tls",
    "UnsupportedServer",
    "before_values",
    "dialect_of",
    "dotted",
    "execute",
    "of_driver",
    "of_scheme",
    "recognize",
]

_MARIADB = MariaDB()
DIALECTS: tuple[Dialect, ...] = (SQLite(), PostgreSQL(), MySQL(), Oracle())
_VARIANTS: tuple[Dialect, ...] = (Citus(),)
"""Dialects of servers that only a connection tells from those of the class that they extend."""

_recognized: "WeakKeyDictionary[SqlAlchemyDialect, Dialect]" = WeakKeyDictionary()


def of_scheme(scheme: str) -> Dialect:
    """Return the dialect of a URL scheme; raise a ValueError for an unknown scheme."""
    for dialect in DIALECTS:
        if scheme in dialect.schemes:
            return dialect
    known = ", ".join(f"{scheme}://" for dialect in DIALECTS for scheme in dialect.schemes if "+" not in scheme)
    raise ValueError(f"unknown scheme {scheme[:40]!r}: use {known}")


def dialect_of(inner: SqlAlchemyDialect) -> Dialect:
    """Return this package's dialect for a dialect of SQLAlchemy.

    Before an engine's first connection, a MariaDB server is taken for MySQL, and Citus for PostgreSQL.
    """
    if (variant := _recognized.get(inner)) is not None:
        return variant
    if getattr(inner, "is_mariadb", False):
        return _MARIADB
    for dialect in DIALECTS:
        if inner.name in dialect.schemes:
            return dialect
    raise LookupError(inner.name)


def recognize(inner: SqlAlchemyDialect, connection: DBAPIConnection) -> None:
    """Find out, from the first connection of an engine, whether the server is a variant of its database."""
    dialect = dialect_of(inner)
    variants = [each for each in _VARIANTS if isinstance(each, type(dialect))]
    if variants and inner not in _recognized:
        _recognized[inner] = next((each for each in variants if each.recognizes(connection)), dialect)


def of_driver(inner: SqlAlchemyDialect) -> Dialect:
    """Return this package's dialect for a dialect of SQLAlchemy; raise a ValueError for an unsupported driver."""
    scheme = f"{inner.name}+{inner.driver}"
    if not any(scheme in dialect.schemes for dialect in DIALECTS):
        raise ValueError(f"the driver {scheme} is not supported")
    return dialect_of(inner)
