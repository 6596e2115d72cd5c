"""A linter for what Oracle's grammar cannot check: in the metadata, and in the statements that are sent.

The limits are those of Oracle's SQL Language Reference and Database Reference ("Logical Database Limits").
"""

import re
from collections.abc import Iterator
from typing import Any

import sqlglot
from sqlalchemy import Column, Index, MetaData, PrimaryKeyConstraint, Table
from sqlalchemy.dialects import oracle
from sqlalchemy.engine import Dialect
from sqlglot import exp

from tests.servers.oracle_double.reserved import RESERVED

MAX_NAME = 30
"""The longest name, in bytes: 128 since 12.2, but 12.1 is supported too."""
MAX_LIST = 1_000
"""The longest list."""
MAX_VARCHAR2 = 4_000
"""The longest VARCHAR2, in bytes, with default settings."""
MAX_KEY = 6_398
"""The longest index key, in bytes, with the default block size of 8 KiB."""
WORST_CHARACTER = 4
"""The longest character in AL32UTF8, in bytes."""

INNER: Dialect = oracle.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it


def lint_metadata(metadata: MetaData) -> list[str]:
    """Yield a line for each fault in the tables."""
    return [line for table in metadata.sorted_tables for line in _table_faults(table)]


def lint_sql(sql: str, metadata: MetaData) -> list[str]:
    """Yield a line for each fault in a query or a statement that changes rows."""
    tree = sqlglot.parse_one(sql, read="oracle")
    documents = {
        column.name
        for named in tree.find_all(exp.Table)
        if named.name in metadata.tables
        for column in metadata.tables[named.name].c
        if _is_document(column)
    }
    return [*_name_faults(tree), *_list_faults(tree), *_document_faults(tree, documents)]


def _table_faults(table: Table) -> Iterator[str]:
    names = [table.name, *table.c.keys(), *(index.name for index in table.indexes), table.primary_key.name]
    yield from (fault for name in names if (fault := _name_fault(str(name))))
    for column in table.c:
        if (size := _bytes(column)) > MAX_VARCHAR2:
            yield f"{column}: {size} bytes in a VARCHAR2, at most {MAX_VARCHAR2}"
    keys: list[Index | PrimaryKeyConstraint] = [table.primary_key, *table.indexes]
    for key in keys:
        columns: list[Column[Any]] = list(key.columns)
        yield from (f"{key.name}: a CLOB cannot be indexed" for column in columns if _is_document(column))
        if (size := sum(map(_bytes, columns))) > MAX_KEY:
            yield f"{key.name}: {size} bytes in a key, at most {MAX_KEY}"


def _type(column: Column[Any]) -> str:
    return column.type.compile(dialect=INNER)


def _bytes(column: Column[Any]) -> int:
    characters = re.fullmatch(r"(?:VARCHAR2|CHAR)\((\d+)(?: CHAR)?\)", _type(column))
    # a number takes 22 bytes; no other type of a key takes more
    return int(characters.group(1)) * WORST_CHARACTER if characters else 22


def _is_document(column: Column[Any]) -> bool:
    return _type(column) == "CLOB"


def _name_fault(name: str) -> str | None:
    if len(name.encode()) > MAX_NAME:
        return f"{name}: {len(name.encode())} bytes in a name, at most {MAX_NAME}"
    return f"{name}: a reserved word" if name.upper() in RESERVED else None


def _name_faults(tree: exp.Expr) -> Iterator[str]:
    names = [name.name for name in tree.find_all(exp.Identifier) if not name.args.get("quoted")]
    binds = [bind.name for bind in tree.find_all(exp.Placeholder)]
    yield from (fault for name in [*names, *binds] if (fault := _name_fault(name)))


def _list_faults(tree: exp.Expr) -> Iterator[str]:
    for chosen in tree.find_all(exp.In):
        if (count := len(chosen.expressions)) > MAX_LIST:
            yield f"{count} members in a list, at most {MAX_LIST}"


def _document_faults(tree: exp.Expr, documents: set[str]) -> Iterator[str]:
    """Yield a fault for each use of a CLOB but reading it whole, its length, writing it, and testing it for NULL."""
    for column in tree.find_all(exp.Column):
        if column.name in documents and not _is_plain(column):
            yield f"{column.name}: a CLOB may only be read or written whole"
    for select in tree.find_all(exp.Select):
        united = isinstance(select.parent, exp.SetOperation) and select.parent.args.get("distinct")
        named = {item.unalias().name for item in select.expressions}
        if (select.args.get("distinct") or united) and ("*" in named or named & documents):
            yield "a CLOB cannot be made distinct"


def _is_plain(column: exp.Column) -> bool:
    node: exp.Expr = column
    while isinstance(node.parent, exp.Alias | exp.Tuple):
        node = node.parent
    match node.parent:
        case exp.Select():
            return node.arg_key == "expressions"
        case exp.EQ():  # SET a = b
            return isinstance(node.parent.parent, exp.Update)
        case exp.Length():  # LENGTH takes a CLOB, according to the manual
            return True
        case exp.Is():
            return isinstance(node.parent.expression, exp.Null)
    return isinstance(node.parent, exp.Insert)
