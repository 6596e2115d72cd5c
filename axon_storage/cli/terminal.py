"""Terminal output, questions and exits of the commands.

Data goes to the standard output; notes, questions, progress and errors go to the standard error. On a terminal tables
are fitted to its width. Elsewhere each row is one line that is never shortened.
"""

import asyncio
import json
import re
import sys
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from axon_storage.cli.interruption import cancelled_by_sigterm
from axon_storage.cli.logs import show_logs
from axon_storage.errors import StorageError

T = TypeVar("T")

FAILED, USAGE, NOTHING, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
"""Exit statuses other than 0: failed; wrong usage; nothing to do, or differences found; ended by Ctrl-C; by SIGTERM."""

# without markup and emoji, so that text from a database is shown as it is
_out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

# control characters, and those that change the direction of text or break lines
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_QUOTED = 64  # the longest tenant
_STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "dim"}


def printable(text: str) -> str:
    r"""Return a text with its control characters escaped, such as ``\n`` and ``\x1b``."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def quoted(text: str) -> str:
    """Return a text of a user or a database in quotation marks, printable, and shortened if it is long."""
    shown = printable(text)
    return f"'{shown if len(shown) <= _QUOTED else f'{shown[: _QUOTED - 1]}…'}'"


def show(text: str) -> None:
    """Write a line to the standard output."""
    _out.print(text)


def show_json(document: Any) -> None:
    """Write a value as one line of JSON. Integers are exact, and control characters are escaped."""
    show_json_text(json.dumps(document, ensure_ascii=False, default=str))


def show_json_text(text: str) -> None:
    """Write a line that is JSON already; control characters in its strings are escaped."""
    sys.stdout.write(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def show_table(headers: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Write a table to the standard output. On a terminal that is too narrow for it, write a block for each row."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if not _out.is_terminal:
        _show_columns(headers, cells)
        return
    table = Table(*headers)
    for row in cells:
        table.add_row(*row)
    if Measurement.get(_out, _out.options.update(max_width=10_000), table).maximum <= _out.width:
        _out.print(table)
    else:
        _show_blocks(headers, cells)


def show_statuses(rows: Iterable[tuple[str, str, str, str]]) -> None:
    """Write a status, a name, a text and a remedy for each row."""
    for status, name, found, remedy in rows:
        text = f"{printable(name)}: {printable(found)}" + (f"\n→ {printable(remedy)}" if remedy else "")
        if not _out.is_terminal:
            sys.stdout.write(f"{status:<8}{text}".replace("\n", " ") + "\n")
            continue
        grid = Table.grid(padding=(0, 2))
        grid.add_column(min_width=7, style=_STYLES.get(status))
        grid.add_column(overflow="fold")
        grid.add_row(status, text)
        _out.print(grid)


def note(text: str) -> None:
    """Write a line to the standard error."""
    _err.print(printable(text))


def warn(text: str) -> None:
    """Write a warning to the standard error."""
    _err.print(text, style="yellow")


def fail(message: str, status: int = FAILED) -> NoReturn:
    """Write an error to the standard error, and exit."""
    _err.print(message, style="red")
    raise typer.Exit(status)


def nothing(message: str) -> NoReturn:
    """Write why nothing was done to the standard error, and exit with status 3."""
    note(message)
    raise typer.Exit(NOTHING)


def confirm(question: str) -> None:
    """Ask a yes or no question; exit with status 1 if the answer is no, or without a terminal."""
    require_terminal(question)
    with _asking():
        typer.confirm(question, abort=True, err=True)


def ask(question: str, request: str) -> str:
    """Ask for a text, and return it; exit with status 1 without a terminal."""
    require_terminal(question)
    with _asking():
        answer: str = typer.prompt(f"{question} {request}", err=True, default="", show_default=False)
    return answer


@contextmanager
def _asking() -> Iterator[None]:
    """Ask a question in the block; exit with status 130 if Ctrl-C interrupts it."""
    try:
        yield
    except typer.Abort as aborted:
        if isinstance(aborted.__context__, KeyboardInterrupt):
            fail("interrupted: nothing was done", INTERRUPTED)
        raise


def require_terminal(question: str) -> None:
    """Exit with status 1 if nobody can answer a question."""
    if not sys.stdin.isatty():
        fail(f"{question} Standard input is not a terminal: use --yes to continue without this question.")


def run(work: Coroutine[Any, Any, T], *, effect: str = "") -> T:
    """Run a coroutine and return its result.

    On a StorageError print it, and exit with status 1. Ctrl-C and SIGTERM cancel the coroutine; the status is 130 or
    143 then, and ``effect``, what the work has changed, is printed.
    """
    show_logs()
    try:
        return asyncio.run(cancelled_by_sigterm(work))
    except StorageError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None  # click handles it
        fail(printable(str(error)))
    except KeyboardInterrupt:
        fail(f"interrupted{effect and f': {effect}'}", INTERRUPTED)
    except asyncio.CancelledError:
        fail(f"terminated{effect and f': {effect}'}", TERMINATED)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"{error.filename or 'file'}: {error.strerror or error}")


def _show_columns(headers: Sequence[str], rows: list[list[str]]) -> None:
    lines = [list(headers), *rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(headers))]
    for line in lines:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(padded.rstrip() + "\n")


def _show_blocks(headers: Sequence[str], rows: list[list[str]]) -> None:
    """Write each row as a grid with a line for each field."""
    for number, row in enumerate(rows, 1):
        _out.rule(f"{number}", align="left")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for header, cell in zip(headers, row, strict=True):
            grid.add_row(header, Text(cell))
        _out.print(grid)
