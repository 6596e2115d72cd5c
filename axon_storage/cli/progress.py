"""Progress bars on the standard error, which show the rate and the time left; nothing if it is not a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from axon_storage.cli.terminal import printable


class _Rate(ProgressColumn):
    """The number of steps in a second."""

    def render(self, task: Task) -> Text:
        """Return the rate of the last seconds."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class Bar:
    """A progress bar. It counts what is done in several parts, such as the tables of several tenants."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress, self._task = progress, progress.add_task("", total=total)
        self._parts: dict[Any, int] = {}

    def update(self, done: int, total: int | None = None, *, part: object = None, text: str = "") -> None:
        """Set what is done of a part, and optionally the total of all parts."""
        self._parts[part] = done
        completed = sum(self._parts.values())
        if total is None:
            self._progress.update(self._task, completed=completed, description=printable(text))
        else:
            self._progress.update(self._task, completed=completed, total=total, description=printable(text))


@contextmanager
def bar(total: int | None = None) -> Iterator[Bar]:
    """Show a progress bar for a block, on a terminal."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, total)
