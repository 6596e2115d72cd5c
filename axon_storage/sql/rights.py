"""What each role may do with the tables: derived from the tables, so that a new table is covered."""

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import Table

from axon_storage.dialects import APPEND_ONLY, Dialect
from axon_storage.dialects.grants import TableRights
from axon_storage.sql.tables import TABLES, UPDATED_AT, VERSION_TABLE, metadata

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")


class Role(StrEnum):
    """What an account is used for.

    ``APP``: reads, saves, deletes and appends rows; it cannot change or delete what it has appended. ``READER``: reads.
    ``MAINTENANCE``: prunes and erases.
    """

    APP = "app"
    READER = "reader"
    MAINTENANCE = "maintenance"


def rights_of(roles: Iterable[Role], dialect: Dialect) -> list[TableRights]:
    """Return the rights of an account with some roles on every table of this package."""
    given = list(roles)
    rights = [_union(table, [_rights(role, table, dialect) for role in given]) for table in metadata.sorted_tables]
    return [*rights, TableRights(VERSION_TABLE, ("SELECT",))]


def _union(table: Table, rights: list[TableRights]) -> TableRights:
    verbs = tuple(verb for verb in VERBS if any(verb in each.verbs for each in rights))
    of_all_columns = any("UPDATE" in each.verbs and each.column is None for each in rights)
    columns = [each.column for each in rights if each.column is not None]
    return TableRights(table.name, verbs, columns[0] if columns and not of_all_columns else None)


def _rights(role: Role, table: Table, dialect: Dialect) -> TableRights:
    is_of_rows = table in TABLES.values()
    if role is Role.APP and is_of_rows:
        return TableRights(table.name, VERBS[:2] if APPEND_ONLY in table.info else VERBS)
    if role is Role.MAINTENANCE and not is_of_rows:
        return TableRights(table.name, VERBS)
    if role is Role.MAINTENANCE and (UPDATED_AT in table.c or dialect.locks_deleted_rows):
        # a column that this package adds to the fields of a row
        return TableRights(table.name, ("SELECT", "UPDATE", "DELETE"), list(table.c)[-1].name)
    return TableRights(table.name, ("SELECT", "DELETE") if role is Role.MAINTENANCE else ("SELECT",))
