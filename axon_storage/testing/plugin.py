"""The pytest plugin: an ephemeral storage for each test, and the limitations of backends.

Fixtures: ``ephemeral_storage``, an open storage on a database of its own, with the newest schema and no rows, and
``ephemeral_url``, the URL of such a database. The database is a SQLite file, or with ``--axon-storage-url`` a database
on that PostgreSQL server. It is a copy of a template that is made once per session, and is dropped after the test.

Mark: ``limitation(test, reason)``, for modules that import tests of :mod:`axon_storage.testing.suite`. The named test
must fail, and is reported as an expected failure with the reason.
"""

import os
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from axon_storage import StorageDispatcher
    from axon_storage.testing.ephemeral import EphemeralDatabases

URL_VARIABLE = "AXON_STORAGE_TEST_URL"

pytest.register_assert_rewrite("axon_storage.testing.suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the server of ``ephemeral_storage``."""
    parser.getgroup("axon_storage").addoption(
        "--axon-storage-url",
        metavar="URL",
        default=os.environ.get(URL_VARIABLE),
        help="a database on the PostgreSQL server on which ephemeral_storage creates databases "
        f"(default: the environment variable {URL_VARIABLE}; without both, SQLite files)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers", "limitation(test, reason): the test of this name, from axon_storage.testing.suite, must fail"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Turn the limitations of a module into expected failures of its tests."""
    for item in items:
        for mark in item.iter_markers("limitation"):
            test, reason = _limitation(item, *mark.args, **mark.kwargs)
            if test in (item.name, getattr(item, "originalname", None)):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def _limitation(item: pytest.Item, test: str = "", reason: str = "") -> tuple[str, str]:
    """Return the test and the reason; raise an error if the module has no such test, or if the reason is missing."""
    module = getattr(item, "module", None)
    if not hasattr(module, test.partition("[")[0]):
        raise pytest.UsageError(f"{item.path.name}: limitation: the module has no test {test!r}")
    if not reason:
        raise pytest.UsageError(f"{item.path.name}: limitation: give the reason why {test} fails")
    return test, reason


@pytest.fixture(scope="session")
def _ephemeral_databases(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[EphemeralDatabases]":
    from axon_storage.testing.ephemeral import open_databases  # noqa: PLC0415  # only if a test needs it

    with open_databases(pytestconfig.getoption("axon_storage_url"), tmp_path_factory) as databases:
        yield databases


@pytest.fixture
def ephemeral_url(_ephemeral_databases: "EphemeralDatabases") -> Iterator[str]:
    """The URL of a database for this test, with the newest schema and no rows."""
    url = _ephemeral_databases.create()
    yield url
    _ephemeral_databases.release(url)


if find_spec("pytest_asyncio"):
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def ephemeral_storage(ephemeral_url: str) -> "AsyncIterator[StorageDispatcher]":
        """An open storage for this test, on a database without rows."""
        from axon_storage import StorageDispatcher, create_engine  # noqa: PLC0415  # as above

        async with StorageDispatcher.sql(create_engine(ephemeral_url)) as storage:
            yield storage

else:

    @pytest.fixture
    def ephemeral_storage() -> None:
        """Fail with a message that says what to install."""
        pytest.fail('ephemeral_storage needs pytest-asyncio: pip install "axon-storage[testing]"', pytrace=False)
