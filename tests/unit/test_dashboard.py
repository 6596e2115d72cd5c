"""The Grafana dashboard, the alert rules, and the page about them are well formed, and complete."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from axon_storage.observability import names
from tests.promql import FOLDER, PAGE, alerts, dashboard, expressions, nodes, panels, selectors

DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
METRICS = {
    names.DURATION: "db_client_operation_duration_seconds",
    names.CONNECTIONS: "db_client_connection_count",
    names.MAX_CONNECTIONS: "db_client_connection_max",
    names.PENDING_REQUESTS: "db_client_connection_pending_requests",
    names.WAIT_TIME: "db_client_connection_wait_time_seconds",
    names.CONNECTION_TIMEOUTS: "db_client_connection_timeouts_total",
    names.RETRIES: "axon_storage_retries_total",
    names.GROUP_COMMIT_SIZE: "axon_storage_group_commit_size",
    names.QUEUE_ROWS: "axon_storage_group_commit_queue_rows",
    names.QUEUE_BYTES: "axon_storage_group_commit_queue_bytes",
    names.QUEUE_WAIT: "axon_storage_group_commit_queue_wait_seconds",
    names.REFUSED_ROWS: "axon_storage_refused_rows_total",
    names.LATE_ROLLBACKS: "axon_storage_late_rollbacks_total",
}
"""The metrics of a storage, as Prometheus names them."""


def lost(written: Any, read: Any, place: str = "") -> Iterator[str]:
    """Yield what a document has and another has not, or has with another value."""
    if isinstance(written, dict) and isinstance(read, dict):
        for name, value in written.items():
            yield from lost(value, read[name], f"{place}.{name}") if name in read else [f"{place}.{name}"]
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (value, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(value, other, f"{place}[{number}]")
    elif written != read:
        yield f"{place}: {written!r}"


def as_grafana_reads(document: dict[str, Any]) -> Any:
    """Return the document with the properties alone that Grafana's types have."""
    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))


def test_the_dashboard_has_only_properties_of_grafana() -> None:
    assert not list(lost(dashboard(), as_grafana_reads(dashboard())))


def test_an_unknown_property_is_noticed() -> None:
    document = dashboard()
    document["panels"][1]["gridPosition"] = document["panels"][1].pop("gridPos")
    assert list(lost(document, as_grafana_reads(document))) == [".panels[1].gridPosition"]


def test_panels_have_different_ids_and_titles_and_do_not_overlap() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len({panel["title"] for panel in every}) == len(every)
    cells: Counter[tuple[int, int]] = Counter()
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells.update((place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"]))
    assert max(cells.values()) == 1


def test_every_query_uses_the_variables() -> None:
    assert [variable["name"] for variable in dashboard()["templating"]["list"]] == ["datasource", "instance"]
    for panel in panels():
        assert panel["datasource"] == DATA_SOURCE, panel["title"]
        assert panel["targets"], panel["title"]
        for query in panel["targets"]:
            assert query["datasource"] == DATA_SOURCE
            for selector in selectors(query["expr"]):
                assert "instance" in [matcher.name for matcher in selector.matchers], query["expr"]


@pytest.mark.parametrize("place", expressions())
def test_an_expression_is_valid(place: str) -> None:
    assert list(nodes(expressions()[place]))


def test_names_that_other_libraries_use_too_are_restricted_to_this_package() -> None:
    for place, expression in expressions().items():
        for selector in selectors(expression):
            if selector.metric.startswith("db_"):
                assert 'otel_scope_name="axon_storage"' in map(str, selector.matchers), place


def test_the_dashboard_and_the_page_show_every_metric() -> None:
    shown = {re.sub("_(bucket|count|sum)$", "", each.metric) for panel in panels() for each in _of_panel(panel)}
    assert shown == {re.sub("_count$", "", name) for name in METRICS.values()}
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{name}`" not in page] == []


def _of_panel(panel: dict[str, Any]) -> Iterator[Any]:
    for query in panel["targets"]:
        yield from selectors(query["expr"])


def test_each_alert_says_what_happens_and_links_to_a_section_of_the_page() -> None:
    headings = re.findall("^## (.*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    for rule in alerts():
        address, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert address.endswith(f"/docs/how-to/{PAGE.name}")
        assert anchor in anchors
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_prometheus_reads_the_alerts_and_the_examples_default_port() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["alerts.yml"]
    (target,) = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert f"default={target.partition(':')[2]}" in (FOLDER / "prometheus.py").read_text(encoding="utf-8")
