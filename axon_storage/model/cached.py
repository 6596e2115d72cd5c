"""``cached``: :func:`functools.cache` that keeps the function's type."""

from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Cache a function's results, as :func:`functools.cache` does; type checkers still see its parameters."""
    return cast("Callable[P, T]", cache(function))
