"""The PromQL expressions of the Grafana dashboard, of the alert rules and of the documentation; what they select."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml
from prometheus_client.samples import Sample

_ROOT = Path(__file__).parents[1]
FOLDER = _ROOT / "examples/observability"
PAGE = _ROOT / "docs/how-to/watch.md"

OF_PROMETHEUS = frozenset({"job", "instance"})
"""The labels that Prometheus adds when it reads the metrics."""

_VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "Equal": lambda value, wanted: value == wanted,
    "NotEqual": lambda value, wanted: value != wanted,
    "Re": lambda value, wanted: re.fullmatch(wanted, value) is not None,
    "NotRe": lambda value, wanted: re.fullmatch(wanted, value) is None,
}


class Selector(NamedTuple):
    """A selector of series: ``metric{label="value"}``."""

    metric: str
    matchers: tuple[Any, ...]

    def selects(self, sample: Sample) -> bool:
        """Return whether it selects a sample of a process, which has no labels of Prometheus yet."""
        return sample.name == self.metric and all(
            matcher.name in OF_PROMETHEUS
            or _MATCHES[str(matcher.op).partition(".")[2]](sample.labels.get(matcher.name, ""), matcher.value)
            for matcher in self.matchers
        )


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    found: dict[str, Any] = json.loads((FOLDER / "axon-storage.json").read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Return every expression, by where it stands: the panel and the query's letter, the alert, or the page's block."""
    of_panels = {
        f"{panel['title']} {query['refId']}": query["expr"] for panel in panels() for query in panel["targets"]
    }
    blocks = re.findall(r"```promql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    queries = [query for block in blocks for query in re.sub("#.*", "", block).split("\n\n")]
    of_page = {f"{PAGE.name} {number}": query for number, query in enumerate(queries, start=1)}
    return of_panels | {rule["alert"]: rule["expr"] for rule in alerts()} | of_page


def nodes(expression: str) -> Iterator[Any]:
    """Parse an expression, and yield each node of its tree. Grafana's variables are replaced first."""
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    yield from _below(promql_parser.parse(expression))


def selectors(expression: str) -> list[Selector]:
    """Return the selectors of an expression."""
    found = [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]
    return [Selector(str(node.name), tuple(node.matchers.matchers)) for node in found]


def groupings(expression: str) -> Iterator[tuple[list[str], set[str]]]:
    """Yield, for each aggregation, the metrics that it aggregates and the labels that it keeps."""
    for node in nodes(expression):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            inner = [each for each in _below(node.expr) if isinstance(each, promql_parser.VectorSelector)]
            yield [str(each.name) for each in inner], set(node.modifier.labels)


def _below(node: Any) -> Iterator[Any]:
    yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if isinstance(child := getattr(node, name, None), promql_parser.Expr):
            yield from _below(child)
    for argument in getattr(node, "args", ()):
        yield from _below(argument)
