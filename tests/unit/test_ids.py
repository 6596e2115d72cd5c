"""Ids: UUIDv7, strictly increasing, with a timestamp that can be read back to the microsecond."""

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon_storage import new_id
from axon_storage.model.ids import EPOCH, IdSource, timestamp_of


def test_ids_are_uuid7_of_now() -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = new_id()
    assert isinstance(made, UUID)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert before < timestamp_of(made) < datetime.now(UTC) + timedelta(seconds=60)


@given(st.lists(st.integers(0, 2**53), min_size=2, max_size=50))
def test_ids_increase_whatever_the_clock_does(readings: list[int]) -> None:
    clock = iter(readings)
    source = IdSource(lambda: next(clock))
    made = [source() for _ in readings]
    assert made == sorted(set(made))
    assert [row_id.hex for row_id in made] == sorted(row_id.hex for row_id in made)


@given(st.integers(0, 253402300799_999_999))
def test_the_timestamp_is_that_of_the_clock_to_the_microsecond(micros: int) -> None:
    assert timestamp_of(IdSource(lambda: micros * 1000)()) == EPOCH + timedelta(microseconds=micros)


# Python 3.12 and later warn, with reason; here the child only makes ids
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_process_and_its_fork_make_ids_with_different_random_bits() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(new_id().bytes for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        theirs = output.read()
    ours = [new_id() for _ in range(100)]
    assert len(theirs) == 1600
    assert {row_id.int % 2**62 for row_id in ours}.isdisjoint(
        UUID(bytes=theirs[start : start + 16]).int % 2**62 for start in range(0, 1600, 16)
    )


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_can_make_ids_if_another_thread_made_one_during_the_fork() -> None:
    stop = threading.Event()

    def make() -> None:
        while not stop.is_set():
            new_id()

    thread = threading.Thread(target=make)
    thread.start()
    try:
        assert all(_exit_status_of_a_child_that_makes_an_id() == 0 for _ in range(50))
    finally:
        stop.set()
        thread.join()


def _exit_status_of_a_child_that_makes_an_id() -> int:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)  # ends a child that hangs
        new_id()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_clock_may_call_new_id() -> None:
    source = IdSource(lambda: new_id().int >> 80)
    assert source() < source()


def test_threads_never_share_an_id() -> None:
    source = IdSource(time.time_ns)
    made: list[UUID] = []

    def make() -> None:
        made.extend([source() for _ in range(2000)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row_id.int >> 66 for row_id in made}) == 16_000  # without their random bits
