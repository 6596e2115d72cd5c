"""``cached``: like :func:`functools.cache`, but type checkers see the function's type."""

from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Cache the results of a function, as :func:`functools.cache` does, and keep its type for type checkers."""
    return cast("Callable[P, T]", cache(function))
