"""The conditions of a LangGraph store: filters of values, and patterns of namespaces."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from langgraph.store.base import MatchCondition

from axon_storage.errors import InvalidArgumentError

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def is_match(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether each field of ``wanted`` equals that of a value, or meets its comparisons."""
    return all(_meets(value.get(name), condition) for name, condition in wanted.items())


def matches_namespace(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    """Return whether a namespace begins or ends with the labels of a condition. The label ``*`` equals any other."""
    path = tuple(condition.path)
    if len(namespace) < len(path):
        return False
    labels = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in {"*", label} for wanted, label in zip(path, labels, strict=True))


def _meets(value: Any, condition: Any) -> bool:
    if not isinstance(condition, dict) or not any(name.startswith("$") for name in condition):
        return bool(value == condition)
    return all(_compare(value, name, other) for name, other in condition.items())


def _compare(value: Any, name: str, other: Any) -> bool:
    if (comparison := _COMPARISONS.get(name)) is None:
        raise InvalidArgumentError(f"filter operator {name!r}: use one of {', '.join(_COMPARISONS)}")
    try:
        return bool(comparison(value, other))
    except TypeError:  # values of types without an order, or no value
        return False
