"""The privileges of PostgreSQL's roles."""

import re
from collections.abc import Iterator, Sequence

from sqlalchemy.engine import URL
from sqlalchemy.sql.compiler import IdentifierPreparer

from axon_storage.dialects.grants import GrantSupport, check_name

_LONGEST_NAME = 63  # PostgreSQL truncates a longer one, which might be the name of another role
_NOT_ROLES = frozenset({"public", "none"})
_SEARCH_PATH = re.compile(r'"((?:[^"]|"")+)"|([^\s",]+)')


class PostgreSQLGrants(GrantSupport):
    """Statements for psql: one transaction, so that a running application never lacks a right."""

    locks_deleted_rows = True  # SELECT … FOR UPDATE needs UPDATE on one column at least
    grants_begin = ("\\set ON_ERROR_STOP on", "BEGIN;")
    grants_end = ("COMMIT;",)

    def account(self, name: str, preparer: IdentifierPreparer) -> str:
        check_name(name, _LONGEST_NAME, "bytes")
        if name.lower() in _NOT_ROLES:
            raise ValueError(f"{name} is not a role of its own: name a role")
        return preparer.quote(name)

    def table_prefix(self, url: URL, preparer: IdentifierPreparer) -> str:
        return f"{_schema(url, preparer)}."

    def admission(self, account: str, url: URL, tables: Sequence[str], preparer: IdentifierPreparer) -> Iterator[str]:
        schema = _schema(url, preparer)
        yield f"REVOKE ALL ON {', '.join(tables)} FROM {account}"
        # before PostgreSQL 15, everybody may create tables in the schema public
        yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {account}"
        if url.database:
            yield f"GRANT CONNECT ON DATABASE {preparer.quote(url.database)} TO {account}"
        yield f"GRANT USAGE ON SCHEMA {schema} TO {account}"


def _schema(url: URL, preparer: IdentifierPreparer) -> str:
    """Return the quoted name of the first schema in the search path of a URL, without a path ``public``."""
    for quoted, plain in _SEARCH_PATH.findall(str(url.query.get("search_path", ""))):
        name = quoted.replace('""', '"') or plain.lower()  # as PostgreSQL reads it
        if name != "$user":
            return preparer.quote(name)
    return "public"
