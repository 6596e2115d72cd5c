"""The privileges of PostgreSQL's roles."""

import re
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.sql.compiler import IdentifierPreparer

from axon_storage.dialects.grants import GrantSupport, check_name

_LONGEST_NAME = 63  # PostgreSQL truncates a longer one, which might be the name of another role
_NOT_ROLES = frozenset({"public", "none"})
_SEARCH_PATH = re.compile(r'"((?:[^"]|"")+)"|([^\s",]+)')
_SCHEMA_RIGHTS = """
SELECT format('CREATE on the schema %I', current_schema()) WHERE has_schema_privilege(current_schema(), 'CREATE')
UNION ALL SELECT format('ownership of %s tables, such as %I', count(*), min(relname)) FROM pg_class
WHERE oid = ANY(SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name) AND pg_has_role(relowner, 'USAGE')
HAVING count(*) > 0
"""


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

    def schema_rights(self, connection: Connection, tables: Sequence[str]) -> list[str] | None:
        return list(connection.execute(text(_SCHEMA_RIGHTS), {"names": list(tables)}).scalars())


def _schema(url: URL, preparer: IdentifierPreparer) -> str:
    """Return the quoted name of the first schema in the search path of a URL, without a path ``public``."""
    for quoted, plain in _SEARCH_PATH.findall(str(url.query.get("search_path", ""))):
        name = quoted.replace('""', '"') or plain.lower()  # as PostgreSQL reads it
        if name != "$user":
            return preparer.quote(name)
    return "public"
