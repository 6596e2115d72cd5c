"""Records: how checkpoints are stored as session entries.

A thread is one scope, ``langgraph`` and its id, so that it is deleted with one statement. Its entries have these keys,
of parts made by :mod:`axon_storage.integrations.keys`:

==================================  ====================================================================
``c NAMESPACE ID``                  a checkpoint with its metadata and small channel values
``c NAMESPACE ID w TASK INDEX``     a pending write of that checkpoint
``v NAMESPACE CHANNEL VERSION``     a channel value that is not small, once for each version
``l NAMESPACE CHANNEL VERSION``     the number of further parts of a large channel value
``x RUN``                           a run that put checkpoints into the thread
``!lock``                           only while checkpoints are deleted or copied
==================================  ====================================================================

A checkpoint and its writes are one range, and the newest checkpoint is the last one of its namespace: one statement
reads them, and another one the values of the other channels, if there are any. A value of up to ``COPY_BYTES`` is also
in the checkpoint that was put with it. The scope ``langgraph-run`` and a run's id has the threads of the run.

A record is a JSON array of texts. The bytes of the serializer are in Base64; names are escaped as in keys. A record of
more than ``PART_LENGTH`` characters continues in entries whose keys have a number at the end; its first entry begins
with the number of these.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from axon_storage.errors import InvalidArgumentError, StorageError
from axon_storage.integrations.keys import escape, part, scope_of, unescape
from axon_storage.model.rows import SessionRow

PART_LENGTH = 2**20
"""The maximum number of characters in an entry, which are at most 4 MiB."""

COPY_BYTES = 4096
"""The maximum size of a value that is also kept in a checkpoint, to be read with it."""

THREADS, RUNS = "langgraph", "langgraph-run"
"""The first word of the scopes of threads and of runs."""

LOCK = "!lock"
"""The key of the lock of a thread. No part is equal to it."""

_ID_LENGTH = 64  # an id is never cut, because the newest checkpoint is the one with the largest id
_CONTINUED = "."
_SMALL, _ITEM = 256, 8  # the characters of a small value, and those of its shortest item

Typed = tuple[str, bytes]
"""What a serializer makes of a value: the name of the type, and the bytes."""


@dataclass(frozen=True, slots=True)
class Write:
    """A pending write. ``index``: its number in the call, or a negative number for a special channel."""

    task_id: str
    task_path: str
    index: int
    channel: str
    value: Typed


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint with its writes in the order of tasks, as it is stored.

    ``values``: the channel values in its record. ``versions``: of the channels whose values have entries of their own;
    such an entry may not exist. ``keys``: of all its entries.
    """

    namespace: str
    id: str
    parent: str | None
    checkpoint: Typed
    metadata: Typed
    values: dict[str, Typed]
    versions: dict[str, str]
    writes: list[Write] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def value_keys(self, only: Set[str] | None = None) -> dict[str, str]:
        """Return the keys of the values that have entries of their own, by channel: of all, or of some channels."""
        channels = self.versions.keys() if only is None else self.versions.keys() & only
        return {channel: value_key(self.namespace, channel, self.versions[channel]) for channel in channels}


def checkpoints_key(namespace: str) -> str:
    """Return the beginning of the keys of a namespace's checkpoints."""
    return f"c {part(namespace, 100)}"


def checkpoint_key(namespace: str, checkpoint_id: str) -> str:
    """Return the key of a checkpoint, with which those of its writes begin."""
    return key_under(checkpoints_key(namespace), checkpoint_id)


def key_under(prefix: str, checkpoint_id: str) -> str:
    """Return the key of a checkpoint. ``prefix``: the beginning of the keys of its namespace."""
    if len(escaped := escape(checkpoint_id)) > _ID_LENGTH:
        raise InvalidArgumentError(f"a checkpoint id of {len(checkpoint_id)} characters: use at most {_ID_LENGTH}")
    return f"{prefix} {escaped}"


def write_key(checkpoint: str, task_id: str, index: int) -> str:
    """Return the key of a write. ``checkpoint``: the key of its checkpoint."""
    return f"{checkpoint} w {part(task_id, 64)} {index}"


def value_key(namespace: str, channel: str, version: str | float) -> str:
    """Return the key of a channel value."""
    return f"v {part(namespace, 100)} {part(channel, 76)} {part(str(version), 68)}"


def checkpoint_rows(scope: str, stored: Stored) -> list[SessionRow]:
    """Return the entries of a checkpoint without its writes."""
    names = [escape(stored.namespace), None if stored.parent is None else escape(stored.parent)]
    values = {escape(channel): _texts(value) for channel, value in stored.values.items()}
    versions = {escape(channel): escape(version) for channel, version in stored.versions.items()}
    record = [*names, *_texts(stored.checkpoint), *_texts(stored.metadata), values, versions]
    return record_rows(scope, checkpoint_key(stored.namespace, stored.id), record)


def is_small(value: Any) -> bool:
    """Return whether a value consists of so few numbers and characters that each checkpoint can have a copy."""
    return _room_after(value, _SMALL) >= 0


def write_rows(scope: str, checkpoint: str, write: Write) -> list[SessionRow]:
    """Return the entries of a write."""
    key = write_key(checkpoint, write.task_id, write.index)
    names = (escape(name) for name in (write.task_id, write.task_path, write.channel))
    return record_rows(scope, key, [*names, *_texts(write.value)])


def value_rows(scope: str, key: str, value: Typed) -> list[SessionRow]:
    """Return the entries of a channel value."""
    rows = record_rows(scope, key, [*_texts(value)])
    if len(rows) > 1:
        rows.append(_row(scope, large_key(key), str(len(rows) - 1)))
    return rows


def run_rows(scope: str, thread_id: str, run_id: str) -> list[SessionRow]:
    """Return the entries that connect a run and a thread."""
    of_run = _row(scope_of(RUNS, run_id), part(thread_id, 255), escape(thread_id))
    return [of_run, _row(scope, f"x {part(run_id, 253)}", escape(run_id))]


def large_key(key: str) -> str:
    """Return the key of the number of parts of a large channel value."""
    return f"l{key[1:]}"


def part_keys(key: str, count: int) -> list[str]:
    """Return the keys of the further parts of a record."""
    return [f"{key} {number:04}" for number in range(1, count + 1)]


def is_checkpoint(key: str) -> bool:
    """Return whether the key of an entry is that of a checkpoint, not of a write or a further part."""
    return key.count(" ") == 2


def further_keys(row: SessionRow) -> list[str]:
    """Return the keys of the further parts of the record that begins with an entry."""
    return part_keys(row.key, int(row.value.partition("[")[0] or 0))


def stored_of(rows: Sequence[SessionRow]) -> Stored:
    """Return the checkpoint with these entries, in the order of their keys; the first one is that of the checkpoint."""
    keys = [row.key for row in rows]
    records = dict(records_of(rows))
    if keys[0] not in records:
        raise StorageError(f"the entry {keys[0]!r} was replaced while it was read", transient=True)
    namespace, parent, kind, data, metadata_kind, metadata, values, versions = records.pop(keys[0])
    writes = [_write(key, record) for key, record in records.items()]
    return Stored(
        unescape(namespace),
        unescape(keys[0].rpartition(" ")[2]),
        None if parent is None else unescape(parent),
        _typed(kind, data),
        _typed(metadata_kind, metadata),
        {unescape(channel): _typed(*value) for channel, value in values.items()},
        {unescape(channel): unescape(version) for channel, version in versions.items()},
        sorted(writes, key=lambda write: (write.task_path, write.task_id, write.index)),
        keys,
    )


def record_rows(scope: str, key: str, record: list[Any]) -> list[SessionRow]:
    """Return the entries of a record."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    if len(text) <= PART_LENGTH:
        return [_row(scope, key, text)]
    first, *further = (text[start : start + PART_LENGTH] for start in range(0, len(text), PART_LENGTH))
    numbered = zip(part_keys(key, len(further)), further, strict=True)
    return [_row(scope, key, f"{len(further)}{first}"), *(_row(scope, k, f"{_CONTINUED}{v}") for k, v in numbered)]


def records_of(rows: Iterable[SessionRow]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the key and the items of each record of entries whose parts are all there."""
    by_key = {row.key: row for row in rows}
    for row in by_key.values():
        if row.value.startswith(_CONTINUED):
            continue
        keys = further_keys(row)
        if by_key.keys() >= set(keys):
            _, bracket, text = row.value.partition("[")
            yield row.key, json.loads("".join([bracket, text, *(by_key[key].value[1:] for key in keys)]))


def referenced_keys(row: SessionRow) -> set[str]:
    """Return the keys of the values that a checkpoint's first entry refers to; none if it has further parts."""
    if further_keys(row):
        return set()
    namespace, *_, versions = json.loads(row.value)
    pairs = ((unescape(channel), unescape(version)) for channel, version in versions.items())
    return {value_key(unescape(namespace), channel, version) for channel, version in pairs}


def value_of(record: list[str]) -> Typed:
    """Return the value in the record of a channel value."""
    return _typed(*record)


def _room_after(value: Any, room: int) -> int:
    """Return how much of the room for a small value is left after a value; a negative number if it is too large."""
    match value:
        case _ if room < 0:
            return room
        case None | bool() | float():
            return room - _ITEM
        case int():
            return room - _ITEM - value.bit_length() // 8
        case str() | bytes():
            return room - _ITEM - len(value)
        case dict():
            items = [item for pair in islice(value.items(), room) for item in pair]
        case list() | tuple():
            items = list(islice(value, room))
        case _:
            return -1
    room -= _ITEM
    for item in items:
        room = _room_after(item, room)
    return room


def _write(key: str, record: list[str]) -> Write:
    task_id, task_path, channel = (unescape(name) for name in record[:3])
    kind, data = record[3:]
    return Write(task_id, task_path, int(key.rpartition(" ")[2]), channel, _typed(kind, data))


def _row(scope: str, key: str, value: str) -> SessionRow:
    return SessionRow(scope=scope, key=key, value=value, source_step="")


def _texts(value: Typed) -> tuple[str, str]:
    kind, data = value
    return kind, b64encode(data).decode()


def _typed(kind: str, data: str) -> Typed:
    return kind, b64decode(data)
