"""Alembic's operations for revisions; each one does nothing if it was done before.

Some databases commit each DDL statement by itself, so an interrupted revision may be half done. It is then run again
from its start. Revisions import this module as ``op``.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from alembic import op
from sqlalchemy import Column, Index, MetaData, Table, inspect
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.schema import CreateIndex, SchemaItem

from axon_storage.dialects import dialect_of
from axon_storage.errors import StorageConnectionError
from axon_storage.schema.distribution import distribute_new_table
from axon_storage.schema.row_security import secure_new_table

TENANT_ID = "tenant_id"

f = op.f
execute = op.execute


def create_table(name: str, *items: SchemaItem, **options: Any) -> None:
    """Create a table; raise a StorageConnectionError if one of that name has other columns."""
    inspector = _inspector()
    if inspector is None or not inspector.has_table(name):
        op.create_table(name, *items, **options)
        if inspector is not None and TENANT_ID in {item.name for item in items if isinstance(item, Column)}:
            secure_new_table(op.get_bind(), name)
            distribute_new_table(op.get_bind(), name)
        return
    found = {column["name"] for column in inspector.get_columns(name)}
    if found != {item.name for item in items if isinstance(item, Column)}:
        remedy = "use another database, or `axon-storage migrate adopt` if the tables are an AxonServer's"
        raise StorageConnectionError(f"a table {name} exists that does not belong to this package: {remedy}")


def drop_table(name: str) -> None:
    """Drop a table."""
    inspector = _inspector()
    if inspector is None or inspector.has_table(name):
        op.drop_table(name)


def add_column(table: str, column: Column[Any]) -> None:
    """Add a column to a table."""
    inspector = _inspector()
    if inspector is None or not _has_column(inspector, table, column.name):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column of a table."""
    inspector = _inspector()
    if inspector is None or _has_column(inspector, table, name):
        op.drop_column(table, name)


def create_index(name: str, table: str, columns: Sequence[str], *, unique: bool = False, online: bool = False) -> None:
    """Create an index. ``online``, for large tables: without blocking writes, if the database can."""
    exists = _has_index(table, name)
    if not online:
        if not exists:
            op.create_index(name, table, list(columns), unique=unique)
        return
    context = op.get_context()
    dialect = dialect_of(context.dialect)
    shape = Table(table, MetaData(), *(Column(column) for column in columns))
    create = CreateIndex(Index(name, *shape.c, unique=unique)).compile(dialect=context.dialect)
    with context.autocommit_block() if dialect.online_index_outside else nullcontext():
        for statement in dialect.online_index(str(create), name, there=exists):
            op.execute(statement)


def drop_index(name: str, *, table_name: str) -> None:
    """Drop an index."""
    if _inspector() is None or _has_index(table_name, name):
        op.drop_index(name, table_name=table_name)


def set_fillfactor(table: str, percent: int | None) -> None:
    """Set how full PostgreSQL fills new pages of a table; None resets it. Other databases have no such option."""
    for statement in dialect_of(op.get_context().dialect).set_fillfactor(table, percent):
        op.execute(statement)


def _inspector() -> Inspector | None:
    """Return an inspector of the database; None while a script is written, without a database."""
    return None if op.get_context().as_sql else inspect(op.get_bind())


def _has_column(inspector: Inspector, table: str, name: str) -> bool:
    return name in {column["name"] for column in inspector.get_columns(table)}


def _has_index(table: str, name: str) -> bool:
    inspector = _inspector()
    if inspector is None or not inspector.has_table(table):
        return False
    return name in {index["name"] for index in inspector.get_indexes(table)}
