"""A backend of a third party runs the conformance suite, and states which tests it fails, and why."""

# --8<-- [start:module]
from collections.abc import AsyncIterator

import pytest

from axon_storage import StorageBackend
from axon_storage.testing.suite import *  # noqa: F403
from axon_storage.testing.suite import TESTS
from tests.third_party.dict_backend import DictBackend

IDS = "it does not record up to which time a table was pruned"
WAITS = "its calls do not wait, so they cannot be cancelled before they end"

pytestmark = [
    pytest.mark.limitation("test_an_append_with_a_pruned_id_is_refused", reason=IDS),
    pytest.mark.limitation("test_a_refused_id_does_not_end_the_transaction", reason=IDS),
    pytest.mark.limitation("test_the_ids_of_the_last_15_minutes_are_never_refused", reason=IDS),
    pytest.mark.limitation("test_a_dry_run_counts_and_deletes_nothing", reason=IDS),
    pytest.mark.limitation("test_records_about_prune_runs_are_deleted_without_rows", reason=IDS),
    pytest.mark.limitation("test_a_transaction_with_a_cancelled_call_is_rolled_back", reason=WAITS),
    pytest.mark.limitation("test_an_interrupted_run_is_completed_by_the_next", reason=WAITS),
]


@pytest.fixture
async def storage() -> AsyncIterator[StorageBackend]:
    async with DictBackend() as opened:
        yield opened


# --8<-- [end:module]
def test_all_but_seven_tests_of_the_suite_pass() -> None:
    limited = {mark.args[0] for mark in pytestmark}
    assert limited < TESTS.keys()
    assert len(limited) == len(pytestmark) == 7
    assert all(mark.kwargs["reason"] for mark in pytestmark)
