"""The raw drivers' SQL, on the very tables and columns of the migrated schema, and the values for it."""

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
class Spelling:
    """What tells one database's SQL and values from another's."""

    mark: Callable[[int], str]
    """The placeholder of the parameter of a number, from one."""
    quote: str
    conflict: Callable[[type[Row], list[str]], str]
    """What an INSERT does about a row that is there: set columns, or none."""
    id: Callable[[UUID], Any]
    moment: Callable[[datetime], Any]

    def name(self, column: str) -> str:
        """A column's name; ``key`` is a word of SQL in MySQL."""
        return f"{self.quote}{column}{self.quote}"

    def columns(self, row_type: type[Row]) -> str:
        """The columns of a row that the package gives back, in its order."""
        return ", ".join(self.name(column) for column in read_columns(row_type))

    def insert(self, row_type: type[Row]) -> str:
        """Store a row: by its key the last one wins, of appends the first."""
        table = TABLES[row_type]
        names = table.columns.keys()
        replaced = [c.name for c in table.columns if not (c.primary_key or c.info.get(WRITTEN_ONCE))]
        marks = ", ".join(self.mark(number) for number in range(1, len(names) + 1))
        return f"INSERT INTO {table.name} ({', '.join(map(self.name, names))}) VALUES ({marks}) " + self.conflict(
            row_type, replaced if row_type.KEY else []
        )

    def get_trace(self) -> str:
        """One trace by tenant and id."""
        key = f"tenant_id = {self.mark(1)} AND trace_id = {self.mark(2)}"
        return f"SELECT {self.columns(TraceRow)} FROM traces WHERE {key}"

    def newest_traces(self) -> str:
        """A tenant's newest traces."""
        return (
            f"SELECT {self.columns(TraceRow)} FROM traces WHERE tenant_id = {self.mark(1)} "
            f"ORDER BY created_id DESC LIMIT {self.mark(2)}"
        )

    def all_traces(self) -> str:
        """A tenant's traces, in their order."""
        return f"SELECT {self.columns(TraceRow)} FROM traces WHERE tenant_id = {self.mark(1)} ORDER BY created_id"

    def trace(self, row: TraceRow) -> Values:
        """A trace's values, in the table's order."""
        return (
            row.tenant_id, row.trace_id, row.flow_name, row.status, row.steps_executed, row.latency_ms,
            row.tokens_input, row.tokens_output, row.anchor_checks, row.anchor_breaches, row.errors, row.retries,
            row.source_file, row.backend, row.client_key, row.replay_of, row.correlation_id,
            orjson.dumps(row.events).decode(), orjson.dumps(row.annotations).decode(), self.id(new_id()),
        )  # fmt: skip

    def event(self, row: EventRow) -> Values:
        """An event's values, in the table's order."""
        payload = orjson.dumps(row.payload).decode()
        return (row.tenant_id, self.id(new_id()), row.topic, row.source, payload, self.moment(datetime.now(UTC)))

    def session(self, row: SessionRow) -> Values:
        """A session's values, in the table's order."""
        return (row.tenant_id, row.scope, row.key, row.value, row.source_step)


def read_columns(row_type: type[Row]) -> tuple[str, ...]:
    """The names of a row's own fields: what reading a row gives back."""
    return tuple(field.name for field in fields_of(row_type))


def decoded(row: Values) -> dict[str, Any]:
    """A trace as a driver without a JSON codec reads it, its two documents decoded."""
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


POSTGRESQL = Spelling(lambda number: f"${number}", '"', _on_conflict, lambda uuid: uuid, lambda moment: moment)
SQLITE = Spelling(
    lambda _: "?", '"', _on_conflict, lambda uuid: uuid.hex, lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S.%f")
)
MYSQL = Spelling(
    lambda _: "%s", "`", _on_duplicate_key, lambda uuid: uuid.hex, lambda moment: moment.replace(tzinfo=None)
)


def row_alias(statement: str) -> str:
    """MySQL's newer words for the same, without which each statement earns a warning, fetched by a further round trip.

    aiomysql joins the rows of an ``executemany`` in the older words only.
    """
    head, update, sets = statement.partition(" ON DUPLICATE KEY UPDATE ")
    return head + " AS new" + update + sets.replace("VALUES(", "new.(").replace("new.(`", "new.`").replace("`)", "`")
