"""The base class for what a database tells about itself: its settings and its state."""

from collections.abc import Iterator

from sqlalchemy import Connection


class ServerInspection:
    """Questions about a server, a file or a session. A subclass implements them."""

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        """Yield a text for each server setting with which a committed transaction can be lost."""
        del connection
        yield from ()

    def is_read_only(self, connection: Connection) -> bool:
        """Return whether the server, or the file, refuses writes."""
        raise NotImplementedError
