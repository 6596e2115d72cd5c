"""A report about a storage as one HTML page, with plots and without any request to the network."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from axon_storage.backend import StorageBackend
from axon_storage.errors import InvalidArgumentError, StorageError
from axon_storage.report.data import collect

__all__ = ["html"]

MAX_DAYS = 366
"""The longest period of a report, in days."""


async def html(
    storage: StorageBackend,
    *,
    days: int = 30,
    tenants: Iterable[str] | None = None,
    until: datetime | None = None,
) -> str:
    """Return a report about the last ``days`` days, as an HTML page.

    The page shows costs by day, flow and backend, traces by hour with their errors and latency, events by topic, and
    the growth and size of the tables. ``tenants``: the tenants to report on (None: all). ``until``: the end of the
    period, a datetime with a time zone (None: now). It needs the extra ``report``; without it, raise a
    :class:`StorageError` that names it::

        Path("report.html").write_text(await report.html(storage, days=7), encoding="utf-8")
    """
    try:
        from axon_storage.report.page import render  # noqa: PLC0415  # imported only when it is used
    except ModuleNotFoundError as error:
        message = f"a report needs {error.name}: install axon-storage[report]"
        raise StorageError(message, operation="report") from None
    if type(days) is not int or not 1 <= days <= MAX_DAYS:
        raise InvalidArgumentError(f"days must be an integer from 1 to {MAX_DAYS}", operation="report")
    end = datetime.now(UTC) if until is None else until
    return render(await collect(storage, end - timedelta(days=days), end, tenants))
