"""Finding: what a check of a database found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The result of a check. ``UNKNOWN``: the database does not tell."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    ``name``: what was checked. ``found``: what was found. ``remedy``: what to do; empty if nothing.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def ok_unless(name: str, found: str, *, warn: str = "", fail: str = "") -> Finding:
    """Return a finding that fails with the remedy ``fail``, warns with the remedy ``warn``, or is ok without both."""
    status = Status.FAIL if fail else Status.WARN if warn else Status.OK
    return Finding(name, status, found, fail or warn)
