"""A pytest plugin: the tests of openai-agents use AxonSession where they make a SQLiteSession.

``make suites`` runs them. AXON_SUITE_URL names the database; without it each session has a new SQLite file.
"""

import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import agents
import agents.memory

from axon_storage import LoopLocal
from axon_storage.integrations.openai_agents import AxonSession

_URL = os.environ.get("AXON_SUITE_URL") or f"sqlite:///{tempfile.mkdtemp(prefix='axon-suite-')}/suite.db"


class ReplacedSession(AxonSession):
    """An AxonSession with the arguments of a SQLiteSession. Each path of a database is a tenant."""

    def __init__(
        self,
        session_id: str,
        db_path: str | Path = ":memory:",
        *_tables: str,
        session_settings: Any = None,
    ) -> None:
        path = uuid4().hex if str(db_path) == ":memory:" else str(db_path)
        tenant = sha256(path.encode()).hexdigest()
        storage = LoopLocal(_URL, migrate=True).for_tenant(tenant)
        super().__init__(session_id, storage, session_settings=session_settings)

    def close(self) -> None:
        """Do nothing: the connections are closed with their event loops."""


agents.SQLiteSession = agents.memory.SQLiteSession = ReplacedSession  # type: ignore[assignment,misc]
