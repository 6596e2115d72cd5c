"""The privileges of accounts of MySQL and MariaDB."""

import re

from sqlalchemy.engine import URL
from sqlalchemy.sql.compiler import IdentifierPreparer

from axon_storage.dialects.grants import GrantSupport, check_name

_LONGEST_USER, _LONGEST_HOST = 80, 255  # 32 on MySQL, which refuses a longer one
_QUOTED = re.compile(r"""(['"`]?)(.*?)\1(?:@(['"`]?)([^@]*?)\3)?""", re.DOTALL)


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
