"""The versions that the documentation and the workflow name are those of the code."""

import re
from pathlib import Path

from axon_storage.dialects import DIALECTS, dotted
from axon_storage.dialects.mysql import MariaDB

ROOT = Path(__file__).resolve().parents[2]


def test_the_versions_that_are_refused_are_those_of_the_contract() -> None:
    contract = re.sub(r"\s+", " ", (ROOT / "docs/contract.md").read_text(encoding="utf-8"))
    refused = {each.title: each.oldest_server for each in (*DIALECTS, MariaDB()) if each.oldest_server is not None}
    assert sorted(refused) == ["MariaDB", "MySQL", "PostgreSQL"]
    for title, oldest in refused.items():
        assert f"{title} before {dotted(oldest.version)}" in contract
