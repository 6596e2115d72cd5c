"""The servers, and a log of every logger at DEBUG."""

import logging
from collections.abc import Iterator

import pytest

from tests.databases import TARGETS

LOGGERS = ("", "axon_storage", "sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "sqlalchemy.orm", "aiosqlite")
"""The root, and the loggers that have a level of their own when a package sets one."""


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def full_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log of all packages at DEBUG, which a storage opened in the test writes."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    caplog.handler.setLevel(logging.DEBUG)
    yield caplog
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
