"""The conformance suite runs in the projects of other people."""

import re

import pytest

from axon_storage.testing.suite import MODULES, TESTS
from tests.testing.conftest import CHECKOUT, Project

STORAGE = """
import pytest_asyncio
from axon_storage.testing.suite.{subject} import *

@pytest_asyncio.fixture
async def storage(ephemeral_storage):
    yield ephemeral_storage
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_tests_of_a_subject_run_in_either_mode_of_pytest_asyncio(project: Project, mode: str) -> None:
    outcomes, output = project(mode=mode, test_own=STORAGE.format(subject="order"))
    assert outcomes.keys() == {"passed"}, output
    assert outcomes["passed"] > 20


def test_the_whole_suite_is_collected(project: Project) -> None:
    whole = "from axon_storage.testing.suite import *\n"
    _outcomes, output = project("--collect-only", test_own=whole)
    found = {line.partition("::")[2].partition("[")[0] for line in output.splitlines() if "::" in line}
    assert found == TESTS.keys()
    assert len(found) > 100


def test_every_module_of_the_suite_belongs_to_it_and_is_run_on_our_databases() -> None:
    files = {file.stem for file in (CHECKOUT / "axon_storage/testing/suite").glob("[!_]*.py")}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == files
    ours = "\n".join(file.read_text(encoding="utf-8") for file in (CHECKOUT / "tests/conformance").glob("test_*.py"))
    for name in files:
        assert f"from axon_storage.testing.suite.{name} import *" in ours


FAULTY = """
import pytest_asyncio
import tests.third_party.dict_backend as module
from axon_storage.testing.suite.{subject} import *

{fault}

@pytest_asyncio.fixture
async def storage():
    async with module.DictBackend() as opened:
        yield opened
"""

EVERY_TENANT = "module.Calls._of_tenant = lambda self, row_type, *_: list(self._tables[row_type].values())"
NEVER_EXPIRED = "module.Stored.is_expired = lambda self: False"
NO_ROLLBACK = "module.dict = lambda table: table  # a transaction gets no copies of the tables"


@pytest.mark.parametrize(
    ("fault", "subject", "test"),
    [
        (EVERY_TENANT, "tenants", "test_only_its_own_tenant_sees_a_row"),
        (NEVER_EXPIRED, "scans", "test_a_scan_does_not_yield_expired_entries"),
        (NO_ROLLBACK, "many", "test_a_transaction_that_raises_stores_nothing"),
    ],
    ids=["every tenant", "never expired", "no rollback"],
)
def test_a_fault_of_a_backend_is_found(project: Project, fault: str, subject: str, test: str) -> None:
    outcomes, output = project("-k", test, test_faulty=FAULTY.format(subject=subject, fault=fault))
    assert outcomes["failed"] > 0, output
    assert f"FAILED test_faulty.py::{test}" in output
    assert re.search(r"^E .*assert \[.+\] == \[", output, re.MULTILINE)  # assertions of the suite show their values


def test_without_its_extra_the_suite_says_what_to_install(project: Project) -> None:
    whole = "from axon_storage.testing.suite import *\n"
    outcomes, output = project(test_own=whole, missing="hypothesis")
    assert not outcomes["passed"]
    assert 'the conformance suite needs the module hypothesis: pip install "axon-storage[testing]"' in output
