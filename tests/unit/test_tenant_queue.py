"""Fair queueing between tenants, without a database: whose writes form the next batch, and who gets room."""

import asyncio
import random
from itertools import count

import pytest

from axon_storage.engine.group_commit.batch import QueuedWrite
from axon_storage.engine.group_commit.capacity import Capacity
from axon_storage.engine.group_commit.next_batch import next_batch
from axon_storage.engine.group_commit.queue import Queue
from axon_storage.engine.group_commit.tenant_queue import TenantQueue
from axon_storage.errors import InvalidArgumentError
from axon_storage.sql.statements import STATEMENT_ROWS
from axon_storage.sql.writes import STATEMENT_BYTES, PreparedWrite

SHARE = TenantQueue.turn_rows


def write(tenant: str, rows: int = 1, size: int = 1) -> PreparedWrite[None]:
    return PreparedWrite("save", tenant, None, set(), rows, size)


class Waiting:
    """A queue whose writes have the name of their tenant and a number."""

    def __init__(self) -> None:
        self.queue, self.names, self._numbers = Queue(), dict[QueuedWrite, str](), count()

    def add(self, tenant: str, number: int = 1, *, rows: int = 1, size: int = 1) -> None:
        for _ in range(number):
            queued = QueuedWrite(write(tenant, rows, size), 1.0, 0.0)
            self.names[queued] = f"{tenant}{next(self._numbers)}"
            self.queue.add(queued)

    def next_batch(self, limit: int = STATEMENT_ROWS) -> list[str]:
        """Return the tenant of each write of the next batch."""
        return [self.names[queued][0] for queued in next_batch(self.queue, limit).writes]


def test_a_lone_write_is_in_the_next_batch_beside_a_flood() -> None:
    waiting = Waiting()
    waiting.add("f", 4_000)
    waiting.next_batch(100)
    waiting.add("l")
    assert waiting.next_batch(100) == ["l"] + ["f"] * 99
    assert waiting.next_batch(100) == ["f"] * 100


def test_each_further_lone_write_is_in_the_next_batch_too() -> None:
    waiting = Waiting()
    waiting.add("f", 4_000)
    for _ in range(10):
        waiting.add("l")
        assert waiting.next_batch(100).count("l") == 1


@pytest.mark.parametrize(("rows", "size"), [(STATEMENT_ROWS, 1), (10_000, 1), (1, STATEMENT_BYTES)])
def test_a_lone_write_is_sent_before_large_writes_that_wait(rows: int, size: int) -> None:
    waiting = Waiting()
    waiting.add("f", 9, rows=rows, size=size)
    assert waiting.next_batch() == ["f"]
    waiting.add("l")
    assert waiting.next_batch() == ["l"]  # the next large write does not fit
    assert [waiting.next_batch() for _ in range(8)] == [["f"]] * 8


def test_a_lone_write_is_sent_before_the_large_writes_of_many_tenants() -> None:
    waiting = Waiting()
    for tenant in "abcde":
        waiting.add(tenant, 4, rows=STATEMENT_ROWS)
    assert [waiting.next_batch() for _ in range(5)] == [["a"], ["b"], ["c"], ["d"], ["e"]]
    for lone, large in zip("lmn", "abc", strict=True):
        waiting.add(lone)
        assert [waiting.next_batch() for _ in range(2)] == [[lone], [large]]


def test_a_large_write_is_overtaken_twice_at_most() -> None:
    waiting, sent = Waiting(), list[list[str]]()
    waiting.add("L", 3, rows=STATEMENT_ROWS)
    for tenant in "abcde":
        waiting.add(tenant)
        sent.append(waiting.next_batch())
    assert sent == [["L"], ["a", "b"], ["c"], ["L"], ["d", "e"]]


def test_tenants_with_many_writes_have_equal_shares_of_a_batch() -> None:
    waiting = Waiting()
    for tenant, number in (("a", 4_000), ("b", 4_000), ("c", 400)):
        waiting.add(tenant, number)
    batch = waiting.next_batch(9 * SHARE)
    assert [batch.count(tenant) for tenant in "abc"] == [3 * SHARE] * 3


def test_a_turn_ends_by_bytes_too() -> None:
    waiting = Waiting()
    waiting.add("a", 9, size=TenantQueue.turn_bytes)
    waiting.add("b", 9)
    assert waiting.next_batch(11) == ["a", *"b" * 9, "a"]


def test_a_tenant_that_comes_back_cannot_keep_another_waiting() -> None:
    waiting, sent = Waiting(), list[str]()
    waiting.add("s", 4 * SHARE)
    for _ in range(8):
        waiting.add("b", rows=STATEMENT_ROWS)
        sent += set(waiting.next_batch(SHARE))
    assert sent == list("sb" * 4)


def test_every_tenant_has_a_turn_before_one_has_its_second() -> None:
    waiting = Waiting()
    for tenant in "abcdefgh":
        waiting.add(tenant, 2 * SHARE)
    assert [waiting.next_batch(SHARE)[0] for _ in range(16)] == list("abcdefgh" * 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_writes_of_a_tenant_are_sent_in_their_order(seed: int) -> None:
    dice, waiting, sent = random.Random(seed), Waiting(), list[str]()  # noqa: S311  # repeatable
    while len(waiting.names) < 300 or waiting.queue.ready_count:
        if len(waiting.names) < 300:
            waiting.add(dice.choice("abcd"), dice.randint(1, 9), rows=dice.choice([1, 20, STATEMENT_ROWS]))
        batch = next_batch(waiting.queue, dice.randint(1, 40)).writes
        if dice.random() < 0.2:  # cancelled because of another caller
            for queued in reversed(batch):
                queued.batch = None
                waiting.queue.add_first(queued)
        else:
            sent += [waiting.names[queued] for queued in batch]
    assert sorted(sent) == sorted(waiting.names.values())
    for tenant in "abcd":
        numbers = [int(name[1:]) for name in sent if name[0] == tenant]
        assert numbers == sorted(numbers)
    capacity = waiting.queue.ready_capacity
    assert (capacity.rows, capacity.bytes, capacity.rows_of("a")) == (0, 0, 0)


def test_locked_writes_are_retried_in_turns() -> None:
    waiting = Waiting()
    waiting.add("f", 200)
    waiting.add("l")
    for queued in next_batch(waiting.queue, STATEMENT_ROWS).writes:
        queued.batch = None
        waiting.queue.add_locked(queued)
    waiting.queue.unlock(SHARE + 1)
    assert sorted(waiting.next_batch()) == ["f"] * SHARE + ["l"]


def test_a_tenant_without_queued_writes_has_room_though_the_queue_is_full() -> None:
    capacity = Capacity(max_rows=4, tenant_rows=3)
    for _ in range(3):
        assert capacity.has_room("a")
        capacity.add(write("a"))
    assert not capacity.has_room("a")  # its own limit
    capacity.add(write("b"))
    assert capacity.is_full
    assert not capacity.has_room("b")  # the limit of all together
    assert capacity.has_room("c")


def test_a_tenant_has_a_limit_in_bytes() -> None:
    capacity = Capacity(tenant_bytes=10)
    capacity.add(write("a", size=11))
    assert not capacity.has_room("a")
    capacity.remove(write("a", size=11))
    assert capacity.has_room("a")


@pytest.mark.parametrize("limits", [(0, 1), (1, 0), (-1, 1)])
def test_a_limit_below_one_is_refused(limits: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgumentError, match="tenant_queue_rows and tenant_queue_bytes must be at least 1"):
        Queue(*limits)


async def test_tenants_that_wait_for_room_take_turns() -> None:
    capacity, entered = Capacity(max_rows=1), list[str]()

    async def enter(tenant: str) -> None:
        await capacity.wait(write(tenant), asyncio.get_running_loop().create_future())
        capacity.add(write(tenant))
        entered.append(tenant)

    for tenant in "ab":
        capacity.add(write(tenant))
    calls = [asyncio.create_task(enter(tenant)) for tenant in "aaaab"]
    await asyncio.sleep(0)
    capacity.remove(write("b"))
    for _ in range(5):
        capacity.remove(write(entered[-1] if entered else "a"))
        for _ in range(3):
            await asyncio.sleep(0)
    await asyncio.wait(calls)
    assert entered[:2] in (["a", "b"], ["b", "a"])
    assert sorted(entered) == list("aaaab")


async def test_room_that_a_woken_caller_does_not_use_goes_to_the_next() -> None:
    capacity, entered = Capacity(max_rows=1), list[int]()

    async def enter(number: int) -> None:
        await capacity.wait(write("a"), asyncio.get_running_loop().create_future())
        entered.append(number)  # it is counted elsewhere

    capacity.add(write("a"))
    calls = [asyncio.create_task(enter(number)) for number in range(3)]
    await asyncio.sleep(0)
    capacity.remove(write("a"))
    async with asyncio.timeout(30):
        await asyncio.wait(calls)
    assert entered == [0, 1, 2]


async def test_all_callers_for_whom_there_is_room_are_woken_at_once() -> None:
    capacity, entered = Capacity(tenant_rows=5), list[int]()

    async def enter(number: int) -> None:
        await capacity.wait(write("a"), asyncio.get_running_loop().create_future())
        assert not capacity.has_room("a")  # a new caller does not overtake those that are still waiting
        capacity.add(write("a"))
        entered.append(number)

    large = write("a", rows=5)
    capacity.add(large)
    calls = [asyncio.create_task(enter(number)) for number in range(9)]
    await asyncio.sleep(0)
    capacity.remove(large)
    await asyncio.sleep(0)
    assert entered == [0, 1, 2, 3, 4]
    assert capacity.rows == 5
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    for _ in range(5):
        capacity.remove(write("a"))
    assert (capacity.rows, capacity.bytes, capacity.has_room("a")) == (0, 0, True)


@pytest.mark.parametrize(("large", "rows"), [(2, 1_000), (3, 600), (5, 5_000)])
def test_a_tenant_is_not_left_out_again_and_again_beside_one_large_write_of_each_other(large: int, rows: int) -> None:
    waiting, overtaken = Waiting(), 0
    waiting.add("n", 50)
    others = "abcde"[:large]
    for other in others:
        waiting.add(other, rows=rows)
    for _ in range(100):
        batch = waiting.next_batch(16)
        for other in others:
            if other in batch:
                waiting.add(other, rows=rows)
        overtaken = 0 if "n" in batch else overtaken + 1
        waiting.add("n", batch.count("n"))
        assert overtaken <= 10
