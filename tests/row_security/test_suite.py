"""The conformance suite on a database with row-level security, as an account that is bound to the tenants it names."""

import pytest

from axon_storage.testing.suite.beside_transactions import *  # noqa: F403
from axon_storage.testing.suite.erasing import *  # noqa: F403
from axon_storage.testing.suite.many import *  # noqa: F403
from axon_storage.testing.suite.tenants import *  # noqa: F403
from tests.doses import EVERYTHING
from tests.row_security.secured import Secured

if EVERYTHING:
    from axon_storage.testing.suite import *  # noqa: F403

OF_EVERY_TENANT = {
    "test_a_transaction_can_write_for_several_tenants",
    "test_a_transaction_counts_what_it_has_written",
    "test_a_write_after_the_run_brings_the_tenant_back_and_old_ids_are_accepted_again",
    "test_closing_a_view_closes_nothing",
    "test_every_table_is_counted_with_all_tenants",
    "test_records_about_prune_runs_are_deleted_without_rows",
    "test_tenant_ids_finds_a_tenant_by_any_table",
    "test_tenant_ids_lists_more_tenants_than_one_statement_reads",
    "test_the_longest_tenant_is_stored_whole",
}
"""Tests that call ``tenant_ids()`` or ``stats()``, which need the account for maintenance."""


@pytest.fixture
def url(secured: Secured, request: pytest.FixtureRequest) -> str:
    """The URL of the bound account, or of the one for maintenance."""
    name = getattr(request.node, "originalname", "")
    return secured.maintenance if name in OF_EVERY_TENANT else secured.whole
