"""``INSERT … ON CONFLICT``, which both PostgreSQL and SQLite have."""

from typing import Any, ClassVar

from sqlalchemy import Executable, Table

from axon_storage.dialects.base import Dialect
from axon_storage.dialects.statements import replaced


class OnConflict(Dialect):
    """The base class of the dialects of databases that have ``INSERT … ON CONFLICT``."""

    insert: ClassVar[type[Any]]
    """SQLAlchemy's INSERT for this database."""

    def upsert(self, table: Table) -> Executable:
        statement = self.insert(table)
        values = {name: statement.excluded[name] for name in replaced(table)}
        over: Executable = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)
        return over

    def insert_once(self, table: Table) -> Executable:
        statement: Executable = self.insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key))
        return statement
