"""Check, before anything is timed, that all contenders store and read the same rows."""

from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy.engine import URL

from axon_storage import Row
from benchmarks import rows
from benchmarks.contenders import Contender, plain
from benchmarks.databases import read_all

_COUNT = 20
_SAVES: tuple[tuple[str, str, Callable[[int], Row]], ...] = (
    ("save_trace", "traces", rows.trace),
    ("append_event", "event_history", rows.event),
    ("save_session", "sessions", rows.session),
)
_OWN = {"id", "created_id", "timestamp_utc", "updated_at"}  # these depend on the time of the write
_DOCUMENTS = {"events", "annotations", "payload"}


class DisagreementError(Exception):
    """A contender stores or reads other rows than the others."""


async def agree(contenders: dict[str, tuple[Contender, URL]], kept: int) -> None:
    """Make each call with each contender, and compare the stored and read rows with those of the first one."""
    seen: dict[str, tuple[str, Any]] = {}
    for name, (contender, url) in contenders.items():
        for what, found in (await _done(contender, url, kept)).items():
            first, expected = seen.setdefault(what, (name, found))
            if found != expected:
                raise DisagreementError(
                    f"{what}: {name} and {first} do not agree: {_first_difference(found, expected)}"
                )


async def _done(contender: Contender, url: URL, kept: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for call, table, row in _SAVES:
        if contender.offers(call):
            for number in [*range(_COUNT), 0]:  # the first row twice: a keyed row is replaced, an appended one is added
                await getattr(contender, call)(row(number))
            if stored := await _stored(url, table):  # peers use other tables
                found[call] = stored
    if contender.offers("save_many"):
        await contender.save_many([rows.trace(number) for number in range(_COUNT // 2, 2 * _COUNT)])
        found["save_many"] = await _stored(url, "traces")
    if contender.offers("get_trace"):
        found["get_trace"] = plain(await contender.get_trace(rows.KEPT, 7))
        found["load_traces"] = [plain(row) for row in await contender.load_traces(rows.KEPT, _COUNT)]
    if contender.offers("restore"):
        found["restore"] = await contender.restore(rows.KEPT)
        if found["restore"] != kept:
            raise DisagreementError(f"restore: {found['restore']} of {kept} traces")
    if contender.offers("delete_traces"):
        await contender.delete_traces(rows.TENANT, list(range(5, 2 * _COUNT + 5)))
        found["delete_traces"] = await _stored(url, "traces")
    return found


async def _stored(url: URL, table: str) -> list[Any]:
    """Return the rows of the timed tenant, sorted, without the columns of their own, and with parsed documents."""
    stored = [
        {name: _value(name, value) for name, value in row.items() if name not in _OWN}
        for row in await read_all(url, table, rows.TENANT)
    ]
    return sorted(stored, key=lambda row: orjson.dumps(row, option=orjson.OPT_SORT_KEYS))


def _value(name: str, value: Any) -> Any:
    return orjson.loads(value) if name in _DOCUMENTS and isinstance(value, (str, bytes)) else value


def _first_difference(found: Any, expected: Any) -> str:
    if not (isinstance(found, list) and isinstance(expected, list)):
        return f"{found!s:.300} and {expected!s:.300}"
    pairs = zip(found, expected, strict=False)
    differs = next(((a, b) for a, b in pairs if a != b), None)
    return (
        f"{len(found)} and {len(expected)} rows" if differs is None else f"{differs[0]!s:.300} and {differs[1]!s:.300}"
    )
