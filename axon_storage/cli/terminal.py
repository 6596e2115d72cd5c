"""Terminal output, questions and error exits of the commands."""

import asyncio
import logging
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from axon_storage.errors import StorageError

T = TypeVar("T")

# without markup and emoji, so that text from a database is shown as it is
_out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def show(text: str) -> None:
    """Write a line to the standard output."""
    _out.print(text)


def show_table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Write a table to the standard output."""
    table = Table(*headers)
    for row in rows:
        table.add_row(*row)
    _out.print(table)


def warn(text: str) -> None:
    """Write a warning to the standard error."""
    _err.print(text, style="yellow")


def fail(message: str) -> NoReturn:
    """Write an error to the standard error, and exit with status 1."""
    _err.print(message, style="red")
    raise typer.Exit(1)


def confirm(question: str) -> None:
    """Ask a yes or no question; exit with status 1 if the answer is no, or without a terminal."""
    if not sys.stdin.isatty():
        fail(f"{question} Standard input is not a terminal: use --yes to continue without this question.")
    typer.confirm(question, abort=True, err=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result; on a StorageError print it and exit with status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return asyncio.run(work)
    except StorageError as error:
        fail(str(error))
