"""The contenders, and how to open each on the URL of a migrated database."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module

from sqlalchemy.engine import URL

from benchmarks.contenders.base import CONNECTIONS, Contender, plain

__all__ = ["CONNECTIONS", "CONTENDERS", "Contender", "Entry", "plain"]

Open = Callable[[URL], AbstractAsyncContextManager[Contender]]


@dataclass(frozen=True)
class Entry:
    """The name and module of a contender, and its description in the report."""

    name: str
    module: str
    opener: str
    what: str
    databases: tuple[str, ...] = ("postgresql", "mariadb", "mysql", "sqlite")
    group: str | None = None
    """The dependency group that installs a peer."""

    def load(self) -> Open:
        """Import the contender; raises an ImportError if a peer is not installed."""
        opener: Open = getattr(import_module(f"benchmarks.contenders.{self.module}"), self.opener)
        return opener


_PG = ("postgresql",)

CONTENDERS = (
    Entry("raw", "raw_postgresql", "open_raw", "asyncpg's own pool, one statement a call, JSON by orjson", _PG),
    Entry("raw", "raw_mysql", "open_raw", "aiomysql's own pool, one statement a call", ("mariadb", "mysql")),
    Entry("raw", "raw_sqlite", "open_raw", "one aiosqlite connection with the same settings", ("sqlite",)),
    Entry(
        "raw-no-reset", "raw_postgresql", "open_without_reset",
        "as raw, without the query that asyncpg's pool sends at each release", _PG,
    ),
    Entry(
        "upstream", "raw_postgresql", "open_upstream",
        "BEGIN, set the tenant, the statement, COMMIT for each call on asyncpg, as the upstream Rust server does", _PG,
    ),
    Entry("axon", "axon", "open_axon", "this package with its defaults"),
    Entry("axon-alone", "axon", "open_alone", "this package with `group_commit=False`"),
    Entry("core", "core", "open_core", "SQLAlchemy Core plainly used: one `engine.begin()` a call"),
    Entry(
        "advanced-alchemy", "advanced_alchemy", "open_peer",
        "its async repository's `add`, a session a call", _PG, "bench-advanced-alchemy",
    ),
    Entry(
        "langgraph", "langgraph", "open_peer",
        "langgraph-checkpoint-postgres' `aput_writes`, one write a call", _PG, "bench-langgraph",
    ),
    Entry(
        "openai-agents", "openai_agents", "open_peer",
        "its SQLAlchemySession's `add_items`, one item a call", _PG, "bench-openai-agents",
    ),
)  # fmt: skip
"""The contenders in the order of the report. Speeds are relative to the first one on each database."""
