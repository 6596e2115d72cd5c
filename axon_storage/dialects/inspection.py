"""The base class for what a database tells about itself: its settings and its state."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from sqlalchemy import Connection


class TableSize(NamedTuple):
    """A database's estimate of the number of rows of a table, and its size with indexes in bytes; None if unknown."""

    rows: int | None
    bytes: int | None


class ServerInspection:
    """Questions about a server, a file or a session. A subclass implements them."""

    counts_all_rows: ClassVar[bool] = False
    """Whether the database has no estimate of the number of rows, so that all rows are counted."""

    def table_sizes(self, connection: Connection, names: Sequence[str]) -> Mapping[str, TableSize]:
        """Return the sizes of tables by their names, as far as they are known without reading the tables."""
        raise NotImplementedError

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        """Yield a text for each server setting with which a committed transaction can be lost."""
        del connection
        yield from ()

    def identity(self, connection: Connection) -> tuple[object, ...]:
        """Return what identifies the database and the schema that contain the tables.

        Two URLs of one server may differ in it, such as by the server's name.
        """
        url = connection.engine.url
        return url.get_backend_name(), url.host, url.port, url.username, url.database, url.query

    def is_read_only(self, connection: Connection) -> bool:
        """Return whether the server, or the file, refuses writes."""
        raise NotImplementedError
