"""The privileges of accounts of MySQL and MariaDB."""

import re
from collections.abc import Sequence

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.sql.compiler import IdentifierPreparer

from axon_storage.dialects.grants import GrantSupport, check_name

_LONGEST_USER, _LONGEST_HOST = 80, 255  # 32 on MySQL, which refuses a longer one
_QUOTED = re.compile(r"""(['"`]?)(.*?)\1(?:@(['"`]?)([^@]*?)\3)?""", re.DOTALL)
_SCHEMA_RIGHTS = """
SELECT DISTINCT privilege_type FROM (
SELECT grantee, privilege_type FROM information_schema.user_privileges
UNION ALL SELECT grantee, privilege_type FROM information_schema.schema_privileges WHERE DATABASE() LIKE table_schema
UNION ALL SELECT grantee, privilege_type FROM information_schema.table_privileges WHERE table_schema = DATABASE()
) AS privileges
WHERE grantee = :grantee AND privilege_type IN ('ALTER', 'CREATE', 'DROP', 'INDEX', 'REFERENCES', 'TRIGGER')
ORDER BY privilege_type
"""


class MySQLGrants(GrantSupport):
    """Statements for the mysql and mariadb clients. Rights that an account has already are not taken away."""

    def account(self, name: str, preparer: IdentifierPreparer) -> str:
        found = _QUOTED.fullmatch(name)
        user, host = (found[2], found[4]) if found else (name, None)
        check_name(user, _LONGEST_USER)
        if host is None:  # a role of MariaDB has no host, and a user's is then %
            return preparer.quote_identifier(user)
        check_name(host, _LONGEST_HOST)
        return f"{preparer.quote_identifier(user)}@{preparer.quote_identifier(host)}"

    def table_prefix(self, url: URL, preparer: IdentifierPreparer) -> str:
        return f"{preparer.quote_identifier(url.database or '')}."

    def schema_rights(self, connection: Connection, tables: Sequence[str]) -> list[str] | None:
        del tables
        user, _, host = str(connection.execute(text("SELECT CURRENT_USER()")).scalar_one()).rpartition("@")
        found = connection.execute(text(_SCHEMA_RIGHTS), {"grantee": f"'{user}'@'{host}'"}).scalars().all()
        return [f"{', '.join(found)} on the database"] if found else []
