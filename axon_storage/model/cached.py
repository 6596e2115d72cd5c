"""``functools.cache`` for typed code."""

from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Return ``functools.cache(function)`` with the signature of ``function``."""
    return cast("Callable[P, T]", cache(function))
