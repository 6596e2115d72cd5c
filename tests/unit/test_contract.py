"""docs/contract.md: each promise names a test that exists; its names, methods, fields and numbers are the code's.

A promise is an item of a list, or a row of a table. It names its tests in a footnote, as pytest does:
`tests/unit/test_x.py::test_y`. A footnote in the first row of a table holds for the whole table.
"""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import axon_storage
from axon_storage import Health, HealthReason, HealthReasonName, Retry, SqlRepository, StorageBackend, create_engine
from axon_storage.audit.comparison import MOST
from axon_storage.audit.sealing import SEALABLE
from axon_storage.engine.executor import Executor
from axon_storage.engine.group_commit.capacity import Capacity
from axon_storage.engine.group_commit.tenant_queue import TenantQueue
from axon_storage.engine.health import HealthCheck
from axon_storage.engine.timeouts import IDLE_TRANSACTION_TIMEOUT, STATEMENT_MARGIN
from axon_storage.model.checks import MAX_ROW_BYTES
from axon_storage.model.json import MAX_JSON_DEPTH
from axon_storage.model.rows import ROW_TYPES, fields_of
from axon_storage.model.values import Boolean, Identifier, Integer, Json, Kind, Nullable, Real, Text
from axon_storage.sql.pruning import LEASE, REPEATABLE
from axon_storage.transfer.pages import PAGE_ROWS

ROOT = Path(__file__).parents[2]
CONTRACT = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")

FOOTNOTE = re.compile(r"^\[\^([\w-]+)\]: (.+(?:\n    .+)*)", re.MULTILINE)
REFERENCE = re.compile(r"\[\^([\w-]+)\](?!:)")
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ITEM = re.compile(r"^- .+(?:\n  .+)*", re.MULTILINE)
TABLE = re.compile(r"(?:^\|.*\|$\n?)+", re.MULTILINE)


def promises(text: str) -> list[str]:
    """Return the items of lists, the rows of tables, and whole tables whose first row has a footnote."""
    found = ITEM.findall(text)
    for table in TABLE.findall(text):
        head, _line, *rows = table.splitlines()
        found += [table] if REFERENCE.search(head) else rows
    return found


def without_test(text: str) -> list[str]:
    """Return the promises without a footnote that names a test."""
    notes = dict(FOOTNOTE.findall(text))
    return [
        promise
        for promise in promises(text)
        if not any(NAMED_TEST.search(notes.get(name, "")) for name in REFERENCE.findall(promise))
    ]


def loose_footnotes(text: str) -> set[str]:
    """Return the names of footnotes that are missing, unused or defined twice."""
    names = [name for name, _ in FOOTNOTE.findall(text)]
    return set(names) ^ set(REFERENCE.findall(text)) | {name for name in names if names.count(name) > 1}


def missing_tests(text: str) -> list[str]:
    """Return the names in footnotes that are not tests."""
    notes = "\n".join(note for _, note in FOOTNOTE.findall(text))
    named = [f"{path}::{test}" for path, test in NAMED_TEST.findall(notes) if test not in _tests_of(path)]
    return named + [other for other in re.findall(r"`[^`]+`", notes) if not NAMED_TEST.fullmatch(other)]


@cache
def _tests_of(path: str) -> set[str]:
    """Return the functions of a test file, and the tests that it imports from the conformance suite."""
    file = ROOT / path
    parsed = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
    found = {each.name for each in parsed.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    for each in parsed.body:
        if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("axon_storage.testing.suite."):
            found |= _tests_of(f"{each.module}".replace(".", "/") + ".py")
    return found


def test_every_promise_names_a_test() -> None:
    assert len(promises(CONTRACT)) > 100
    assert without_test(CONTRACT) == []


def test_every_footnote_is_defined_once_and_used() -> None:
    assert loose_footnotes(CONTRACT) == set()


def test_every_named_test_exists() -> None:
    assert missing_tests(CONTRACT) == []


def test_every_test_that_the_page_about_security_names_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    assert missing_tests(page) == []
    assert loose_footnotes(page) == set()


NOTE = "[^a]: `tests/unit/test_contract.py::test_every_named_test_exists`\n"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (f"- Held.[^a]\n\n{NOTE}", 0),
        (f"- Not held.\n- Held.[^a]\n\n{NOTE}", 1),
        ("- Held by nothing.[^a]\n", 2),
        ("- Held by words.[^a]\n\n[^a]: A good test.\n", 1),
        (f"| held |\n|---|\n| one[^a] |\n| not held |\n\n{NOTE}", 1),
        (f"| all held[^a] |\n|---|\n| one |\n| two |\n\n{NOTE}", 0),
        (f"A footnote that nobody refers to.\n\n{NOTE}", 1),
        ("- No such test.[^a]\n\n[^a]: `tests/unit/test_contract.py::test_that_is_not_there`\n", 1),
        ("- No such file.[^a]\n\n[^a]: `tests/unit/test_nothing.py::test_every_named_test_exists`\n", 1),
        ("- No test.[^a]\n\n[^a]: `tests/unit/test_contract.py::promises`\n", 2),
    ],
)
def test_a_planted_fault_is_found(text: str, faults: int) -> None:
    assert len(without_test(text)) + len(loose_footnotes(text)) + len(missing_tests(text)) == faults


def section(title: str) -> str:
    """Return the text under a heading, up to the next one."""
    return re.split(r"\n#+ ", CONTRACT.partition(f"# {title}\n")[2])[0]


def cells(text: str) -> list[list[str]]:
    """Return the cells of a section's only table, without its header."""
    [table] = TABLE.findall(text)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def test_the_public_names_are_those_of_the_package() -> None:
    names = re.findall(r"`(\w+)`", ITEM.findall(section("Names"))[0])
    assert sorted(names) == sorted(["axon_storage", *axon_storage.__all__])


FOR_BACKENDS = {"execute", "current_tenant"}
"""Methods that a backend implements and that callers do not use."""


def test_the_methods_are_those_of_a_storage() -> None:
    table = "\n".join(TABLE.findall(section("Methods")))
    members = inspect.getmembers(StorageBackend, inspect.isfunction)
    public = {name: method for name, method in members if not name.startswith("_") and name not in FOR_BACKENDS}
    assert sorted(re.findall(r"`(\w+\(.*?\))`", table)) == sorted(
        name + _plain(inspect.signature(method)) for name, method in public.items()
    )
    plain = {name for name, method in public.items() if not inspect.iscoroutinefunction(method)}
    assert plain == {
        "for_tenant",
        "scan",
        "transaction",
        "follow_events",
        *(name for name in public if name.startswith("iter_")),
    }


def test_the_reasons_are_those_of_a_health() -> None:
    each_alone = {name: Health((HealthReason(name, ""),), 0.0) for name in HealthReasonName}
    assert [row[:3] for row in cells(section("Reasons"))] == [
        [f"`{name}`", f"`{health.healthy}`", f"`{health.ready}`"] for name, health in each_alone.items()
    ]


def _plain(signature: inspect.Signature) -> str:
    """Format the parameters of a method with their defaults, without self and types."""
    _self, *parameters = (each.replace(annotation=each.empty) for each in signature.parameters.values())
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


@pytest.mark.parametrize("row_type", ROW_TYPES, ids=lambda row_type: row_type.__name__)
def test_the_fields_are_those_of_the_row_types(row_type: type[axon_storage.Row]) -> None:
    text = section(f"`{row_type.__name__}`")
    assert f"Table `{row_type.TABLE}`" in text
    assert cells(text) == [
        [f"`{name}`", _type(kind), "key" if name in row_type.KEY else ""] for name, kind in fields_of(row_type)
    ]


def _type(kind: Kind) -> str:
    match kind:
        case Nullable():
            return f"{_type(kind.kind)} or `None`"
        case Integer():
            return f"`{kind.name}`"
        case Identifier():
            return {(1, 64): "`tenant`", (0, 255): "`name`", (0, 900): "`path`"}[kind.low, kind.high]
        case _:
            return {Real: "`f64`", Boolean: "`bool`", Text: "`text`", Json: "`json`"}[type(kind)]


def test_the_numbers_are_those_of_the_code() -> None:
    engine, storage = (inspect.signature(each).parameters for each in (create_engine, SqlRepository))
    iterator = inspect.signature(StorageBackend.iter_traces).parameters
    assert dict(cells(section("Numbers"))) == {
        "`retry_attempts`, including the first attempt": f"{Retry().attempts}",
        "`retry_deadline`": f"{Retry().deadline:g} s",
        "`operation_timeout`": f"{storage['operation_timeout'].default:g} s",
        "time from an event's append to its COMMIT": f"{Executor.append_horizon:g} s",
        "time in which `follow_events` finds late events": f"{StorageBackend.follow_horizon:g} s",
        "extra time for a COMMIT in progress": f"{Executor.grace_seconds:g} s",
        "`pool_size`": f"{engine['pool_size'].default}",
        "`max_overflow`": f"{engine['max_overflow'].default}",
        "queued rows": f"{Capacity().max_rows:,}",
        "queued bytes": f"{Capacity().max_bytes / 2**20:g} MiB",
        "`tenant_queue_rows`": f"{storage['tenant_queue_rows'].default:,}",
        "`tenant_queue_bytes`": f"{storage['tenant_queue_bytes'].default / 2**20:g} MiB",
        "rows of a tenant's turn": f"{TenantQueue.turn_rows}",
        "bytes of a tenant's turn": f"{TenantQueue.turn_bytes / 2**10:g} KiB",
        "`statement_timeout`, in addition to `operation_timeout`": f"{STATEMENT_MARGIN:g} s",
        "`idle_transaction_timeout`": f"{IDLE_TRANSACTION_TIMEOUT:g} s",
        "text and JSON of one row": f"{MAX_ROW_BYTES / 2**20:g} MiB",
        "maximum nesting depth of JSON": f"{MAX_JSON_DEPTH}",
        "seconds after which a pool without a free connection is exhausted": f"{HealthCheck.pool_seconds:g}",
        "`page_size` of an iterator": f"{iterator['page_size'].default}",
        "rows that one transaction of a prune or erase run deletes": f"{StorageBackend.prune_rows:,}",
        "duration of the lease of a prune run": f"{LEASE.total_seconds():g} s",
        "age from which ids are compared with what was pruned": f"{REPEATABLE.total_seconds() / 60:g} min",
        "age from which audit entries are sealed": f"{SEALABLE.total_seconds() / 60:g} min",
        "audit entries of one seal": f"{PAGE_ROWS:,}",
        "differences of a tenant that `verify` of `axon_storage.audit` names": f"{MOST:,}",
    }
