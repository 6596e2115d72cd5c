"""Row-level security of PostgreSQL: the policies of a table, and the tenants of a transaction."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from axon_storage.dialects.row_security import RowSecuritySupport

SETTING = "axon_storage.tenants"
"""The setting with the tenants of a transaction, as an array. It ends with the transaction."""

TENANTS, MAINTENANCE = "axon_storage_tenants", "axon_storage_maintenance"
"""The names of the policies: for everybody, and for the roles that see the rows of every tenant."""

# Without missing_ok, so that a row that is found without a tenant is an error, and not an empty answer. The subquery is
# evaluated once for a statement. The planner takes IS NOT NULL to be true, so that it expects as many rows as without
# the policy; with = ANY it would multiply the condition by that of the statement, expect one row, and read all rows of
# a tenant where it needs a few.
_ALLOWED = f"array_position((SELECT current_setting('{SETTING}')::text[]), tenant_id::text) IS NOT NULL"
_ALLOWED_AS_STORED = (
    f"(array_position(( SELECT (current_setting('{SETTING}'::text))::text[] AS current_setting), (tenant_id)::text)"
    " IS NOT NULL)"
)

LACKS_TENANTS = "row-level security is on, and the transaction has named no tenant: repeat the call"

_EMPTY = ': ""'  # the end of the message about an empty text, in every language
_UNKNOWN_SETTING, _NOT_AN_ARRAY = "42704", "22P02"

_BINDS = """
SELECT bool_or(row_security_active(c.oid)) AND NOT bool_or(EXISTS (
  SELECT FROM pg_policy p, unnest(p.polroles) AS role
  WHERE p.polrelid = c.oid AND p.polname = :maintenance AND role <> 0 AND pg_has_role(role, 'USAGE')
)) FROM pg_class c WHERE c.oid = ANY(SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name)
"""
_STATE = """
SELECT name, relrowsecurity, relforcerowsecurity FROM unnest(CAST(:names AS text[])) AS name
JOIN pg_class ON oid = to_regclass(name) ORDER BY name
"""
_POLICIES = """
SELECT name, polname, polpermissive, polcmd = '*', polroles = '{0}',
  pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
FROM unnest(CAST(:names AS text[])) AS name JOIN pg_policy ON polrelid = to_regclass(name)
"""
_ROLES = """
SELECT DISTINCT quote_ident(rolname) FROM unnest(CAST(:names AS text[])) AS name
JOIN pg_policy ON polrelid = to_regclass(name) AND polname = :maintenance
JOIN pg_roles ON pg_roles.oid = ANY (polroles) ORDER BY 1
"""
_EXEMPT = "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"

_EXPECTED = {
    TENANTS: (True, True, True, _ALLOWED_AS_STORED, _ALLOWED_AS_STORED),
    MAINTENANCE: (True, True, False, "true", "true"),
}
"""What each policy must be: permissive, for all commands, for PUBLIC, and its conditions."""


class PostgreSQLRowSecurity(RowSecuritySupport):
    """Policies that compare ``tenant_id`` with a setting of the transaction."""

    has_row_security = True

    def binds_tenants(self, connection: Connection, tables: Sequence[str]) -> bool:
        names = {"names": list(tables), "maintenance": MAINTENANCE}
        return bool(connection.execute(text(_BINDS), names).scalar_one())

    def begin_for_tenants(self, connection: Connection, tenants: Collection[str]) -> None:
        # One message, so that naming the tenants costs no round trip.
        _send(connection, f"BEGIN ISOLATION LEVEL READ COMMITTED; {self.set_tenants_statement(tenants)}")

    def set_tenants(self, connection: Connection, tenants: Collection[str]) -> None:
        _send(connection, self.set_tenants_statement(tenants))

    def set_tenants_statement(self, tenants: Collection[str]) -> str:
        """Return the statement that names the tenants of a transaction."""
        return f"SELECT set_config('{SETTING}', {tenants_literal(tenants)}, true)"  # true: for the transaction

    def commit_for_tenants(self, connection: Connection) -> None:
        _send(connection, "COMMIT")

    def roll_back_for_tenants(self, connection: Connection) -> None:
        _send(connection, "ROLLBACK")

    def lacks_tenants(self, error: BaseException) -> bool:
        code = self.code(error)
        if code == _NOT_AN_ARRAY:
            # After a transaction that has set it, the setting is an empty string. This package sends no array as text.
            return self.message(error).endswith(_EMPTY)
        return code == _UNKNOWN_SETTING and SETTING in self.message(error)

    def secure(self, connection: Connection, table: str, maintenance: Sequence[str]) -> list[str]:
        preparer = connection.dialect.identifier_preparer
        name = preparer.quote(table)
        statements = [
            f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
            f"DROP POLICY IF EXISTS {TENANTS} ON {name}",
            f"CREATE POLICY {TENANTS} ON {name} USING ({_ALLOWED}) WITH CHECK ({_ALLOWED})",
            f"DROP POLICY IF EXISTS {MAINTENANCE} ON {name}",
        ]
        if maintenance:
            roles = ", ".join(maintenance)
            statements.append(f"CREATE POLICY {MAINTENANCE} ON {name} TO {roles} USING (true) WITH CHECK (true)")
        return statements

    def unsecure(self, connection: Connection, table: str) -> list[str]:
        name = connection.dialect.identifier_preparer.quote(table)
        return [
            f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY",
            f"DROP POLICY IF EXISTS {TENANTS} ON {name}",
            f"DROP POLICY IF EXISTS {MAINTENANCE} ON {name}",
        ]

    def is_secured(self, connection: Connection, tables: Sequence[str]) -> bool:
        return any(name in _EXPECTED for _table, name, *_policy in _rows(connection, _POLICIES, tables))

    def maintenance_roles(self, connection: Connection, tables: Sequence[str]) -> list[str]:
        names = {"names": list(tables), "maintenance": MAINTENANCE}
        return list(connection.execute(text(_ROLES), names).scalars())

    def row_security_differences(self, connection: Connection, tables: Sequence[str]) -> Iterator[tuple[str, str]]:
        policies = {(table, name): tuple(policy) for table, name, *policy in _rows(connection, _POLICIES, tables)}
        is_secured = any(name in _EXPECTED for _table, name in policies)
        has_maintenance = any(name == MAINTENANCE for _table, name in policies)
        for table, enabled, forced in _rows(connection, _STATE, tables):
            if is_secured and not (enabled and forced):
                yield table, "not forced" if enabled else "off"
            elif enabled and not is_secured:
                yield table, "on"
            for name, expected in _EXPECTED.items():
                found, needed = policies.get((table, name)), is_secured and (name == TENANTS or has_maintenance)
                if found != (expected if needed else None):
                    yield table, f"policy {name} is {'missing' if found is None else 'another one'}"
        for (table, name), (permissive, *_others) in sorted(policies.items()):
            if is_secured and permissive and name not in _EXPECTED:
                yield table, f"policy {name} permits more"

    def unbound_because(self, connection: Connection) -> str:
        superuser, bypasses = connection.execute(text(_EXEMPT)).one()
        return "SUPERUSER" if superuser else "BYPASSRLS" if bypasses else ""


def tenants_literal(tenants: Collection[str]) -> str:
    """Return an SQL literal of an array of tenants, which is the same with any setting of the session."""
    elements = [f'"{_escaped(tenant, quote=_DOUBLE)}"' for tenant in sorted(tenants)]
    return f"E'{_escaped('{' + ','.join(elements) + '}', quote=_SINGLE)}'"


_DOUBLE, _SINGLE = ('"', '\\"'), ("'", "''")


def _escaped(value: str, *, quote: tuple[str, str]) -> str:
    return value.replace("\\", "\\\\").replace(*quote)


def _rows(connection: Connection, query: str, tables: Sequence[str]) -> list[Any]:
    return list(connection.execute(text(query), {"names": list(tables)}).all())


def _send(connection: Connection, statements: str) -> None:
    """Run statements without results on a connection in autocommit mode, in one message.

    SQLAlchemy prepares each statement, so that it cannot send several at once.
    """
    driver: Any = connection.connection.driver_connection
    try:
        await_only(driver.execute(statements))
    except Exception as error:
        if not driver.is_closed():
            raise
        raise DBAPIError(None, None, error, connection_invalidated=True) from error  # as SQLAlchemy does
