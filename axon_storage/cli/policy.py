"""Retention policies of ``axon-storage prune``: how long the rows of each table are kept."""

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import typer

from axon_storage.cli.terminal import printable, quoted
from axon_storage.cli.times import age_of

POLICY_TABLES = (
    "traces",
    "events",
    "audit",
    "costs",
    "sessions",
    "daemons",
    "axon_stores",
    "dataspaces",
    "hibernations",
    "cache",
    "schedules",
)
"""The names of tables in a policy; ``prune_…`` of a storage deletes the rows of each."""


def policy_of(file: Path | None, given: Mapping[str, str | None]) -> dict[str, timedelta]:
    """Return the age of each table: that of the option or the environment variable, otherwise that of the file.

    Exit with status 2 if there is none, or if the file cannot be read.
    """
    ages = _from_file(file) if file is not None else {}
    ages |= {name: text for name, text in given.items() if text is not None}
    if not ages:
        raise typer.BadParameter("no policy: give the age of a table, such as --events 30d, or --policy FILE")
    return {name: age_of(ages[name], f"{name}: ") for name in POLICY_TABLES if name in ages}


def _from_file(file: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise typer.BadParameter(f"{printable(str(file))}: {printable(str(reason))}") from None
    for name, value in content.items():
        if name not in POLICY_TABLES:
            tables = f"there is no table {quoted(name)}: use {', '.join(POLICY_TABLES)}"
            raise typer.BadParameter(f"{printable(str(file))}: {tables}")
        if not isinstance(value, str):
            raise typer.BadParameter(f"{printable(str(file))}: {name}: the age must be a text such as '30d'")
    return content
