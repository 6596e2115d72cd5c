"""The versions that the documentation and the workflow name are those of the code."""

import re
import tomllib
from pathlib import Path

import yaml

from axon_storage.dialects import DIALECTS, dotted
from axon_storage.dialects.mysql import MariaDB
from tests.versions import OLDEST, ROWS

ROOT = Path(__file__).resolve().parents[2]


def test_the_versions_that_are_refused_are_those_of_the_contract() -> None:
    contract = re.sub(r"\s+", " ", (ROOT / "docs/contract.md").read_text(encoding="utf-8"))
    refused = {each.title: each.oldest_server for each in (*DIALECTS, MariaDB()) if each.oldest_server is not None}
    assert sorted(refused) == ["MariaDB", "MySQL", "PostgreSQL"]
    for title, oldest in refused.items():
        assert f"{title} before {dotted(oldest.version)}" in contract


def test_the_rows_of_the_workflow_are_those_of_the_list() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/databases.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["versions"]["strategy"]["matrix"]
    assert matrix["row"] == [row.name for row in ROWS]
    assert matrix["include"] == [
        {"row": row.name, "server": row.server, "image": row.image} for row in ROWS if row.image
    ]


def test_every_tested_server_has_a_row() -> None:
    rows = {row.name for row in ROWS}
    for dialect in (*DIALECTS, MariaDB()):
        for version in dialect.tested_servers:
            assert f"{dialect.title.lower()}-{version}" in rows


def test_the_oldest_packages_are_those_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines: list[str] = project["dependencies"]
    for name in ("postgresql", "mysql", "asyncmy", "oracle"):
        lines += project["optional-dependencies"][name]
    allowed = {}
    for line in lines:
        name, bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?.*?>=([\d.]+)[^>]*", line).groups()  # type: ignore[union-attr]
        allowed[name] = bound
    for pin in OLDEST:
        name, _, version = pin.partition("==")
        assert f"{version}.".startswith(f"{allowed.pop(name)}.")
    assert list(allowed) == ["cryptography"]
