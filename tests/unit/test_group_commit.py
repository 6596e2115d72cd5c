"""Group commit without a database: which writes form the next batch, and the order of the waiting writes."""

import asyncio
import random

import pytest

from axon_storage.engine.group_commit.batch import QueuedWrite
from axon_storage.engine.group_commit.capacity import Capacity
from axon_storage.engine.group_commit.next_batch import next_batch
from axon_storage.engine.group_commit.queue import Queue
from axon_storage.engine.group_commit.row_order import RowOrder
from axon_storage.model.rows import SessionRow
from axon_storage.sql.plans import DeletePlan
from axon_storage.sql.statements import STATEMENT_ROWS
from axon_storage.sql.tables import TABLES
from axon_storage.sql.writes import STATEMENT_BYTES, KeyRange, PreparedWrite


class Waiting:
    """A queue and a row order, used together as the scheduler uses them."""

    def __init__(self) -> None:
        self.queue, self.order, self.names = Queue(), RowOrder[QueuedWrite](), dict[QueuedWrite, str]()

    def add(self, name: str, rows: str, *, deletes: bool = False, row_count: int = 1, size: int = 1) -> QueuedWrite:
        plan = DeletePlan((0,), TABLES[SessionRow].delete(), []) if deletes else None
        keys = {(SessionRow.TABLE, (row,)) for row in rows}
        queued = QueuedWrite(PreparedWrite("save", "tenant", None, keys, row_count, size, plan=plan), 1.0, 0.0)
        self.names[queued] = name
        self.order.add(queued)
        self.queue.add(queued)
        return queued

    def add_range(self, name: str, start: str | None, end: str | None) -> QueuedWrite:
        key_range = KeyRange(SessionRow.TABLE, (), start, end)
        plan = DeletePlan((0,), TABLES[SessionRow].delete(), [])
        write = PreparedWrite("delete", "tenant", 0, set(), STATEMENT_ROWS, 1, plan=plan, key_range=key_range)
        queued = QueuedWrite(write, 1.0, 0.0)
        self.names[queued] = name
        self.order.add(queued)
        self.queue.add(queued)
        return queued

    def end(self, queued: QueuedWrite) -> None:
        queued.ended = True
        for later in self.order.remove(queued):
            if later.capacity is not None:  # it is queued, and not in a batch
                self.queue.unblock(later)

    def next_batch(self, limit: int = 16) -> list[str]:
        return [self.names[queued] for queued in next_batch(self.queue, limit).writes]


def test_ready_writes_are_taken_in_their_order_up_to_the_limit() -> None:
    waiting = Waiting()
    for number in range(5):
        waiting.add(str(number), str(number))
    assert waiting.next_batch(limit=3) == ["0", "1", "2"]
    assert waiting.next_batch(limit=3) == ["3", "4"]


def test_later_writes_of_a_row_join_the_batch_in_order_beyond_the_limit() -> None:
    waiting = Waiting()
    for name, rows in (("first", "a"), ("second", "a"), ("other", "b"), ("third", "a")):
        waiting.add(name, rows)
    assert waiting.next_batch(limit=1) == ["first", "second", "third"]


def test_no_write_joins_behind_a_delete_of_its_row() -> None:
    waiting = Waiting()
    waiting.add("save", "a")
    delete = waiting.add("delete", "a", deletes=True)
    waiting.add("again", "a")
    assert waiting.next_batch() == ["save", "delete"]
    assert waiting.queue.ready_count == 0
    waiting.end(delete.before["sessions", ("a",)])
    waiting.end(delete)
    assert waiting.next_batch() == ["again"]


def test_a_write_does_not_join_while_an_earlier_one_is_not_in_the_batch() -> None:
    waiting = Waiting()
    [earlier] = [waiting.add("earlier", "a")]
    assert waiting.next_batch() == ["earlier"]  # this batch is still in flight
    waiting.add("other", "b")
    waiting.add("both", "ab")
    assert waiting.next_batch() == ["other"]
    assert not earlier.ended


def test_a_batch_fits_in_one_statement_or_is_one_larger_write() -> None:
    waiting = Waiting()
    for name, rows, size in (("rows", STATEMENT_ROWS - 1, 1), ("fits", 1, 1), ("too many", 1, 1)):
        waiting.add(name, name[0], row_count=rows, size=size)
    waiting.add("large", "l", size=STATEMENT_BYTES * 2)
    waiting.add("small", "s")
    batches = [waiting.next_batch() for _ in range(4)]
    assert batches == [["rows", "fits"], ["too many"], ["large"], ["small"]]


def test_a_requeued_write_is_sent_first() -> None:
    waiting = Waiting()
    first, second = (waiting.add(name, name) for name in "ab")
    assert waiting.next_batch() == ["a", "b"]
    waiting.add("c", "c")
    for queued in (second, first):  # in the scheduler's order
        queued.batch = None
        waiting.queue.add_first(queued)
    assert waiting.next_batch() == ["a", "b", "c"]


def test_locked_writes_are_not_sent_until_they_are_unlocked_in_their_order() -> None:
    waiting = Waiting()
    locked = [waiting.add(name, name) for name in "abc"]
    assert waiting.next_batch() == ["a", "b", "c"]
    for queued in locked:
        queued.batch = None
        waiting.queue.add_locked(queued)
    assert waiting.queue.ready_count == 0
    waiting.queue.unlock(2)
    assert waiting.next_batch() == ["a", "b"]
    assert waiting.queue.is_locked(locked[2])


def test_blocked_and_locked_writes_do_not_use_the_capacity_of_ready_ones() -> None:
    waiting = Waiting()
    ready, blocked = waiting.add("ready", "a", row_count=3), waiting.add("blocked", "a", row_count=5)
    assert (waiting.queue.ready_capacity.rows, waiting.queue.blocked_capacity.rows) == (3, 5)
    waiting.next_batch(limit=1)
    assert (waiting.queue.ready_capacity.rows, waiting.queue.blocked_capacity.rows) == (0, 0)
    assert ready.batch is blocked.batch


async def test_callers_get_room_in_the_order_of_their_arrival() -> None:
    capacity, entered, write = Capacity(max_rows=1), list[int](), PreparedWrite("save", "tenant", None, set(), 1, 1)
    capacity.add(write)

    async def enter(number: int) -> None:
        await capacity.wait(write, asyncio.get_running_loop().create_future())
        capacity.add(write)
        entered.append(number)

    calls = [asyncio.create_task(enter(number)) for number in range(4)]
    await asyncio.sleep(0)
    calls[1].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
        capacity.remove(write)
        await asyncio.sleep(0)
        assert capacity.rows == 1
    await asyncio.wait(calls)
    assert entered == [0, 2, 3]
    assert not Capacity().is_full


@pytest.mark.parametrize("seed", range(20))
def test_each_row_gets_its_writes_in_the_order_of_their_calls(seed: int) -> None:
    waiting, dice, ended = Waiting(), random.Random(seed), list[QueuedWrite]()  # noqa: S311  # repeatable
    writes: list[QueuedWrite] = []
    in_flight: list[QueuedWrite] = []
    while len(writes) < 60 or len(ended) < 60:
        if len(writes) < 60 and dice.random() < 0.5:
            rows = "".join(dice.sample("abcd", dice.randint(1, 3)))
            writes.append(waiting.add(str(len(writes)), rows, deletes=dice.random() < 0.2))
        if waiting.queue.ready_count and dice.random() < 0.5:
            in_flight += next_batch(waiting.queue, 4).writes
        if in_flight and dice.random() < 0.7:
            ended.append(in_flight.pop(0))
            waiting.end(ended[-1])
    for row in "abcd":
        key = (SessionRow.TABLE, (row,))
        assert [w for w in ended if key in w.row_keys] == [w for w in writes if key in w.row_keys]


def test_a_delete_of_a_range_is_sent_alone_after_the_earlier_writes_of_its_rows() -> None:
    waiting = Waiting()
    earlier = [waiting.add(name, name) for name in "abc"]
    deleted = waiting.add_range("b to d", "b", "d")
    for name in "bde":
        waiting.add(f"later {name}", name)
    assert waiting.next_batch() == ["a", "b", "c", "later d", "later e"]
    for queued in earlier:
        assert waiting.queue.ready_count == 0
        waiting.end(queued)
    assert waiting.next_batch() == ["b to d"]
    assert waiting.queue.ready_count == 0
    waiting.end(deleted)
    assert waiting.next_batch() == ["later b"]


def test_a_delete_of_a_range_waits_for_each_earlier_write_of_a_row_even_if_the_last_one_is_cancelled() -> None:
    waiting = Waiting()
    first = waiting.add("first", "a")
    assert waiting.next_batch() == ["first"]
    last = waiting.add("last", "a")
    deleted = waiting.add_range("all", None, None)
    waiting.queue.remove(last)
    waiting.end(last)
    assert deleted.before
    waiting.end(first)
    assert waiting.next_batch() == ["all"]


@pytest.mark.parametrize("seed", range(40))
def test_ranges_and_writes_of_their_rows_end_in_the_order_of_their_calls(seed: int) -> None:
    waiting, dice, ended = Waiting(), random.Random(seed), list[QueuedWrite]()  # noqa: S311  # repeatable
    writes: list[QueuedWrite] = []
    in_flight: list[list[QueuedWrite]] = []
    while len(writes) < 60 or len(ended) < 60:
        if len(writes) < 60 and dice.random() < 0.5:
            if dice.random() < 0.3:
                start, end = dice.choice([None, "a", "b", "c"]), dice.choice([None, "b", "c", "d"])
                writes.append(waiting.add_range(str(len(writes)), start, end))
            else:
                rows = "".join(dice.sample("abcd", dice.randint(1, 3)))
                writes.append(waiting.add(str(len(writes)), rows, deletes=dice.random() < 0.2))
        if waiting.queue.ready_count and dice.random() < 0.5:
            in_flight.append(next_batch(waiting.queue, 4).writes)
        if in_flight and dice.random() < 0.7:
            batch = dice.choice(in_flight)
            ended.append(batch.pop(0))
            waiting.end(ended[-1])
            in_flight = [batch for batch in in_flight if batch]
        queued = [write for write in writes if write.capacity is not None]
        if queued and dice.random() < 0.1:  # a caller is cancelled
            ended.append(dice.choice(queued))
            waiting.queue.remove(ended[-1])
            ended[-1].expired = True
            waiting.end(ended[-1])
    sent = [write for write in ended if not write.expired]
    for later in sent:
        for earlier in sent[sent.index(later) :]:
            assert writes.index(earlier) >= writes.index(later) or not _share_a_row(earlier, later)
    assert waiting.queue.ready_count == 0
    assert all(not write.before and not write.after for write in writes)


def _share_a_row(one: QueuedWrite, other: QueuedWrite) -> bool:
    if one.key_range is not None and other.key_range is not None:
        return one.key_range.overlaps(other.key_range)
    for ranged, plain in ((one, other), (other, one)):
        if ranged.key_range is not None:
            return any(map(ranged.key_range.contains, plain.row_keys))
    return not one.row_keys.isdisjoint(other.row_keys)
