"""Which targets a test runs on in `make test`, which must stay short; `make matrix` runs every test on every target."""

import os

EVERYTHING = bool({"AXON_MATRIX", "AXON_FAULTS", "AXON_ROLLING"} & os.environ.keys())

VARIANTS = ("mariadb-asyncmy", "mysql-asyncmy", "oracle-double-12.1")
"""Targets that share their dialect with another target, and have another driver or version."""

OF_VARIANTS = (
    "tests/conformance/test_cache.py",
    "tests/conformance/test_connection_errors.py",
    "tests/conformance/test_creates.py",
    "tests/conformance/test_group_commit.py",
    "tests/conformance/test_many.py",
    "tests/conformance/test_opening.py",
    "tests/conformance/test_ranges.py",
    "tests/conformance/test_round_trip.py",
    "tests/conformance/test_saves.py",
    "tests/conformance/test_summaries.py",
    "tests/faults/",
    "tests/migrations/test_migrations.py::test_every_revision",
    "tests/oracle/",
    "tests/security/test_nothing_leaks_when_connecting.py",
    "tests/servers/",
    "tests/unit/",
)
"""The beginnings of the node ids of tests that run on variants."""

THROUGH_POOLERS = ("tests/conformance/test_creates.py",)
"""The beginnings of the node ids of tests that run through poolers."""

TARGETS_OF = {
    "tests/audit/test_kept_seals.py": ("sqlite", "postgresql"),
    "tests/audit/test_sealing.py": ("sqlite", "postgresql"),
    "tests/conformance/test_fairness.py": ("sqlite", "postgresql"),
    "tests/conformance/test_follow_storm.py": ("sqlite", "postgresql"),
    "tests/conformance/test_horizon.py": ("sqlite", "postgresql"),
    "tests/encryption/test_moving.py": ("sqlite", "postgresql"),
    "tests/encryption/test_rotation.py": ("sqlite", "postgresql"),
    "tests/encryption/test_suite.py": ("sqlite",),
    "tests/encryption/test_tampering.py": ("sqlite", "postgresql", "mysql"),
    "tests/faults/test_maintenance.py": ("postgresql",),
    "tests/faults/test_session_limits.py::test_the_locks_of_a_process_that_hangs_in_a_wait": ("postgresql",),
    "tests/faults/test_session_limits.py::test_a_call": ("postgresql", "mysql"),
    "tests/integrations/test_adk": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph_blocking": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph_concurrency": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph_deletion": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph_graphs": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph_saver": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph_store": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_openai": ("sqlite", "postgresql", "mysql"),
    "tests/migrations/test_migrations.py::test_alembic_in_a_checkout": ("sqlite", "postgresql"),
    "tests/migrations/test_wheel.py::test_the_installed": ("sqlite", "postgresql"),
    "tests/routing/test_suite.py": ("sqlite",),
    "tests/rolling/": ("sqlite", "postgresql", "mysql"),
    "tests/test_examples.py": ("sqlite", "postgresql"),
    "tests/transfer/": ("sqlite", "postgresql"),
    "tests/transfer/test_copy.py::test_a_copy_keeps": ("postgresql",),
    "tests/transfer/test_files.py": ("postgresql",),
    "tests/transfer/test_killed.py": ("postgresql",),
    "tests/transfer/test_verify.py": ("postgresql",),
}
"""Long tests, by the beginning of their node ids, with their targets. One test copies through every database."""

BY_BOTH_TENANTS = ("sqlite", "postgresql")
"""Targets on which a test of one tenant's rows runs as the default tenant too, and not only on a tenant's view."""


def is_in_dose(node_id: str, target: str, tenant: str = "") -> bool:
    """Return whether a test runs on a target and, if it is a test of one tenant's rows, as this tenant."""
    if EVERYTHING:
        return True
    if tenant == "default" and target not in BY_BOTH_TENANTS:
        return False
    if target.startswith("postgresql-pgbouncer") and not node_id.startswith(THROUGH_POOLERS):
        return False
    if target in VARIANTS and not node_id.startswith(OF_VARIANTS):
        return False
    return all(target in targets for start, targets in TARGETS_OF.items() if node_id.startswith(start))
