"""The privileges of Oracle's users."""

from collections.abc import Iterator, Sequence

from sqlalchemy.engine import URL
from sqlalchemy.sql.compiler import IdentifierPreparer

from axon_storage.dialects.grants import GrantSupport, TableRights, check_name
from axon_storage.dialects.oracle.migration import OracleMigration

CURRENT_SCHEMA = "current_schema"
"""The parameter of a URL that names the schema that contains the tables, if it is not that of the account."""

_LONGEST_NAME = 128


class OracleGrants(GrantSupport):
    """Statements for SQL*Plus, SQLcl and SQL Developer. Rights that a user has already are not taken away."""

    grants_begin = tuple(OracleMigration.script_begins.splitlines())

    def account(self, name: str, preparer: IdentifierPreparer) -> str:
        return quoted(name, preparer)

    def table_prefix(self, url: URL, preparer: IdentifierPreparer) -> str:
        owner = str(url.query.get(CURRENT_SCHEMA, "")) or url.username
        return f"{quoted(owner, preparer)}." if owner else ""

    def admission(self, account: str, url: URL, tables: Sequence[str], preparer: IdentifierPreparer) -> Iterator[str]:
        del tables
        if f"{account}." == self.table_prefix(url, preparer):
            raise ValueError(f"{account} owns the tables: name another account, or the owner in the URL")
        yield f"GRANT CREATE SESSION TO {account}"

    def grants(
        self, account: str, rights: Sequence[TableRights], url: URL, preparer: IdentifierPreparer
    ) -> Iterator[str]:
        # the privilege SELECT also allows SELECT … FOR UPDATE, with which a reader could block writers
        only_reads = all(each.verbs == ("SELECT",) for each in rights)
        read = [each._replace(verbs=("READ",)) for each in rights] if only_reads else rights
        yield from super().grants(account, read, url, preparer)


def quoted(name: str, preparer: IdentifierPreparer) -> str:
    """Return the quoted name of a user; a name in lower case is that of a user whose name needs no quotation marks."""
    check_name(name, _LONGEST_NAME, "bytes")
    if '"' in name:
        raise ValueError("the name of an account of Oracle cannot contain a quotation mark")
    return preparer.quote(name)
