"""Writes the statements that give accounts the rights that they need, and no others."""

from typing import Any

from sqlalchemy.sql.compiler import IdentifierPreparer

from axon_storage.dialects import UnsupportedServer, of_scheme
from axon_storage.engine.url import hidden, parse_url, script_url, split_secrets
from axon_storage.errors import InvalidArgumentError
from axon_storage.sql.rights import Role, rights_of

_ABOUT = (
    "-- The rights of the accounts that use axon_storage. The accounts must exist, and so must the tables.",
    "-- Run it as an administrator, and again after each `axon-storage migrate upgrade`.",
)


def grants(url: str, *, app: str | None = None, reader: str | None = None, maintenance: str | None = None) -> str:
    """Return the SQL that gives accounts their rights, for the database's own client; no connection is made.

    ``url``: names the kind of database, and where the tables are: the database, and on PostgreSQL the schema
    (``search_path``), on Oracle the owner (``current_schema``, else the user). ``app``: the account of the application.
    ``reader``: one that only reads. ``maintenance``: one that prunes and erases. An account may be named twice, and has
    the rights of both roles then. Raise an :class:`InvalidArgumentError` for a name that cannot be used, and on SQLite.
    """
    url = hidden(url)
    (parsed, _), inner = split_secrets(parse_url(url)), script_url(url).get_dialect()
    dialect = of_scheme(parsed.drivername)
    if dialect.no_grants_because:
        raise InvalidArgumentError(dialect.no_grants_because, operation="grants")
    preparer = _preparer(inner)
    if app is None and reader is None and maintenance is None:
        raise InvalidArgumentError("name an account: app, reader or maintenance", operation="grants")
    roles: dict[str, list[Role]] = {}
    try:
        dialect.check_url(parsed)
        for role, name in ((Role.APP, app), (Role.READER, reader), (Role.MAINTENANCE, maintenance)):
            if name is not None:
                roles.setdefault(dialect.account(name, preparer), []).append(role)
        lines = [*_ABOUT, *dialect.grants_begin]
        for account, given in roles.items():
            lines += ["", f"-- {' and '.join(given)}: {account}"]
            lines += [f"{each};" for each in dialect.grants(account, rights_of(given, dialect), parsed, preparer)]
    except (UnsupportedServer, ValueError) as refused:
        raise InvalidArgumentError(str(refused), operation="grants") from None
    return "\n".join([*lines, *(["", *dialect.grants_end] if dialect.grants_end else []), ""])


def _preparer(inner: Any) -> IdentifierPreparer:
    """Return what quotes names for a dialect of SQLAlchemy. It does not double each %, as for a driver's parameters."""
    preparer: IdentifierPreparer = inner(paramstyle="named").identifier_preparer
    return preparer
