"""The SQL statements and values of the raw drivers, on the tables of the migrated schema."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from axon_storage import EventRow, Row, SessionRow, TraceRow, new_id
from axon_storage.dialects import WRITTEN_ONCE
from axon_storage.model.rows import fields_of
from axon_storage.sql.tables import TABLES

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Syntax:
    """The differences between the databases in SQL and values."""

    placeholder: Callable[[int], str]
    """The placeholder of a parameter, by its number from 1."""
    quote: str
    conflict: Callable[[type[Row], list[str]], str]
    """The clause of an INSERT for a row that exists: update these columns, or none."""
    id: Callable[[UUID], Any]
    timestamp: Callable[[datetime], Any]

    def name(self, column: str) -> str:
        """Return the name of a column, quoted if needed: ``key`` is reserved in MySQL."""
        return f"{self.quote}{column}{self.quote}"

    def columns(self, row_type: type[Row]) -> str:
        """Return the columns of a row that this package reads, in its order."""
        return ", ".join(self.name(column) for column in read_columns(row_type))

    def insert(self, row_type: type[Row]) -> str:
        """Return an upsert; the first of two appends with the same id is kept."""
        table = TABLES[row_type]
        names = table.columns.keys()
        replaced = [c.name for c in table.columns if not (c.primary_key or c.info.get(WRITTEN_ONCE))]
        placeholders = ", ".join(self.placeholder(number) for number in range(1, len(names) + 1))
        return (
            f"INSERT INTO {table.name} ({', '.join(map(self.name, names))}) VALUES ({placeholders}) "
            + self.conflict(row_type, replaced if row_type.KEY else [])
        )

    def get_trace(self) -> str:
        """Return a query for one trace, by tenant and id."""
        key = f"tenant_id = {self.placeholder(1)} AND trace_id = {self.placeholder(2)}"
        return f"SELECT {self.columns(TraceRow)} FROM traces WHERE {key}"

    def newest_traces(self) -> str:
        """Return a query for the newest traces of a tenant."""
        return (
            f"SELECT {self.columns(TraceRow)} FROM traces WHERE tenant_id = {self.placeholder(1)} "
            f"ORDER BY created_id DESC LIMIT {self.placeholder(2)}"
        )

    def all_traces(self) -> str:
        """Return a query for all traces of a tenant, in order."""
        return (
            f"SELECT {self.columns(TraceRow)} FROM traces WHERE tenant_id = {self.placeholder(1)} ORDER BY created_id"
        )

    def trace(self, row: TraceRow) -> Values:
        """Return the values of a trace, in the order of the table."""
        return (
            row.tenant_id, row.trace_id, row.flow_name, row.status, row.steps_executed, row.latency_ms,
            row.tokens_input, row.tokens_output, row.anchor_checks, row.anchor_breaches, row.errors, row.retries,
            row.source_file, row.backend, row.client_key, row.replay_of, row.correlation_id,
            orjson.dumps(row.events).decode(), orjson.dumps(row.annotations).decode(), self.id(new_id()),
        )  # fmt: skip

    def event(self, row: EventRow) -> Values:
        """Return the values of an event, in the order of the table."""
        payload = orjson.dumps(row.payload).decode()
        return (row.tenant_id, self.id(new_id()), row.topic, row.source, payload, self.timestamp(datetime.now(UTC)))

    def session(self, row: SessionRow) -> Values:
        """Return the values of a session entry, in the order of the table."""
        return (row.tenant_id, row.scope, row.key, row.value, row.source_step, self.timestamp(datetime.now(UTC)))


def read_columns(row_type: type[Row]) -> tuple[str, ...]:
    """Return the names of the fields of a row type."""
    return tuple(field.name for field in fields_of(row_type))


def decoded(row: Values) -> dict[str, Any]:
    """Decode the two documents of a trace that a driver without a JSON codec has read."""
    values = dict(zip(_TRACE, row, strict=True))
    values["events"], values["annotations"] = orjson.loads(values["events"]), orjson.loads(values["annotations"])
    return values


_TRACE = read_columns(TraceRow)


def _on_conflict(row_type: type[Row], replaced: list[str]) -> str:
    if not replaced:
        return "ON CONFLICT (tenant_id, id) DO NOTHING"
    key = ", ".join(f'"{name}"' for name in ("tenant_id", *row_type.KEY))
    return f"ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f'"{name}" = excluded."{name}"' for name in replaced)


def _on_duplicate_key(row_type: type[Row], replaced: list[str]) -> str:
    sets = [f"`{name}` = VALUES(`{name}`)" for name in replaced] or [f"id = {row_type.TABLE}.id"]
    return "ON DUPLICATE KEY UPDATE " + ", ".join(sets)


POSTGRESQL = Syntax(lambda number: f"${number}", '"', _on_conflict, lambda uuid: uuid, lambda timestamp: timestamp)
SQLITE = Syntax(
    lambda _: "?",
    '"',
    _on_conflict,
    lambda uuid: uuid.hex,
    lambda timestamp: timestamp.strftime("%Y-%m-%d %H:%M:%S.%f"),
)
MYSQL = Syntax(
    lambda _: "%s", "`", _on_duplicate_key, lambda uuid: uuid.hex, lambda timestamp: timestamp.replace(tzinfo=None)
)


def row_alias(statement: str) -> str:
    """Return the statement in MySQL's newer syntax. The older one causes a warning, which takes another round trip.

    aiomysql combines the rows of an ``executemany`` only in the older syntax.
    """
    head, update, sets = statement.partition(" ON DUPLICATE KEY UPDATE ")
    return head + " AS new" + update + sets.replace("VALUES(", "new.(").replace("new.(`", "new.`").replace("`)", "`")
