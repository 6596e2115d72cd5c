"""Which targets a test runs on in `make test`, which must stay short; `make matrix` runs every test on every target."""

import os

EVERYTHING = bool({"AXON_MATRIX", "AXON_FAULTS", "AXON_ROLLING"} & os.environ.keys())

ASYNCMY = (
    "tests/conformance/test_connection_errors.py",
    "tests/conformance/test_opening.py",
    "tests/conformance/test_round_trip.py",
    "tests/faults/",
    "tests/security/test_nothing_leaks_when_connecting.py",
    "tests/servers/",
    "tests/unit/",
)
"""The beginnings of the node ids of tests of a driver. The statements are those of the other driver."""

ASYNCMY_AGAIN = tuple(start for start in ASYNCMY if start != "tests/conformance/test_round_trip.py")
"""The same driver on the second of its servers: how it connects, and its errors."""

OLD_DOUBLE = (
    "tests/conformance/test_connection_errors.py",
    "tests/conformance/test_opening.py",
    "tests/migrations/test_migrations.py::test_every_revision",
    "tests/oracle/",
    "tests/servers/",
    "tests/unit/",
)
"""The beginnings of the node ids of tests on the double of Oracle 12.1. Its schema and statements are those of 23ai."""

NOT_ON_DOUBLES = (
    "tests/audit/",
    "tests/conformance/test_blocked_writes.py",
    "tests/conformance/test_concurrency.py",
    "tests/conformance/test_delete_ranges.py",
    "tests/conformance/test_engine_use.py",
    "tests/conformance/test_follow.py",
    "tests/conformance/test_group_commit_queue.py",
    "tests/conformance/test_health.py",
    "tests/conformance/test_host_engines.py",
    "tests/conformance/test_locked_rows.py",
    "tests/conformance/test_order.py",
    "tests/conformance/test_prune_runs.py",
    "tests/conformance/test_recorded.py",
    "tests/conformance/test_write_order.py",
    "tests/faults/test_follow.py",
    "tests/faults/test_fork.py",
    "tests/faults/test_health.py",
    "tests/faults/test_telemetry.py",
    "tests/faults/test_timeouts.py",
    "tests/integrations/",
    "tests/migrations/test_drift.py",
)
"""The beginnings of the node ids of tests about tasks, locks and connections rather than about statements.

A double of Oracle executes the statements in PostgreSQL, and has its locks. It is slow.
"""

NOT_ON_MARIADB = (
    "tests/audit/",
    "tests/conformance/test_cache.py",
    "tests/conformance/test_delete_ranges.py",
    "tests/conformance/test_erasing.py",
    "tests/conformance/test_follow.py",
    "tests/conformance/test_given_keys.py",
    "tests/conformance/test_host_engines.py::test_calls",
    "tests/conformance/test_id_range.py",
    "tests/conformance/test_iterators.py",
    "tests/conformance/test_order.py",
    "tests/conformance/test_prun",
    "tests/conformance/test_ranges.py",
    "tests/conformance/test_recorded.py",
    "tests/conformance/test_reverse_iterators.py",
    "tests/conformance/test_scans.py",
    "tests/conformance/test_stats.py",
    "tests/conformance/test_summaries.py",
    "tests/conformance/test_tenants.py",
    "tests/integrations/",
    "tests/migrations/test_drift.py",
)
"""The beginnings of the node ids of tests whose statements and errors are the same on MariaDB and MySQL.

Those of writes, locks, plans and errors differ: MariaDB has RETURNING and other locks, and another optimizer.
"""

THROUGH_POOLERS = ("tests/conformance/test_creates.py",)
"""The beginnings of the node ids of tests that run through poolers."""

_NOT_ON = {"oracle-double": NOT_ON_DOUBLES, "mariadb": NOT_ON_MARIADB}
_ONLY = {
    "mariadb-asyncmy": ASYNCMY,
    "mysql-asyncmy": ASYNCMY_AGAIN,
    "oracle-double-12.1": OLD_DOUBLE,
    "postgresql-pgbouncer": THROUGH_POOLERS,
}
"""The tests of each target, by the beginning of its name."""

THE_SAME_ANYWHERE = (
    "tests/audit/test_copying.py",
    "tests/audit/test_pruned.py",
    "tests/conformance/test_beside_transactions.py",
    "tests/conformance/test_instrumentations.py",
    "tests/conformance/test_lifecycle.py",
    "tests/conformance/test_loop_local.py",
    "tests/conformance/test_method_spans.py",
    "tests/conformance/test_metrics.py",
    "tests/conformance/test_pool.py",
    "tests/conformance/test_refusals.py",
    "tests/conformance/test_slow_calls.py",
    "tests/conformance/test_spans.py",
    "tests/integrations/test_langgraph_conformance.py",
    "tests/migrations/test_migrations.py::test_a_hosts_own_migrations",
    "tests/migrations/test_survival.py",
)
"""The beginnings of the node ids of tests of what is done before or beside the statements, or by Alembic.

They run on PostgreSQL, and on SQLite, whose driver has a thread.
"""

TARGETS_OF = dict.fromkeys(THE_SAME_ANYWHERE, ("sqlite", "postgresql")) | {
    "tests/audit/test_kept_seals.py": ("sqlite", "postgresql"),
    "tests/audit/test_sealing.py": ("sqlite", "postgresql"),
    "tests/conformance/test_diagnosis.py": ("sqlite", "postgresql", "mysql"),
    "tests/conformance/test_fairness.py": ("sqlite", "postgresql"),
    "tests/conformance/test_follow_storm.py": ("sqlite", "postgresql"),
    "tests/conformance/test_horizon.py": ("sqlite", "postgresql"),
    "tests/conformance/test_key_plans.py": ("sqlite", "postgresql"),
    "tests/encryption/test_moving.py": ("sqlite", "postgresql"),
    "tests/encryption/test_rotation.py": ("sqlite", "postgresql"),
    "tests/encryption/test_suite.py": ("sqlite",),
    "tests/encryption/test_tampering.py": ("sqlite", "postgresql", "mysql"),
    "tests/faults/test_application_name.py": ("postgresql", "mysql", "mariadb+asyncmy", "oracle-double-23ai"),
    "tests/faults/test_fork.py": ("sqlite", "postgresql", "mysql"),
    "tests/faults/test_maintenance.py": ("postgresql",),
    "tests/faults/test_session_limits.py::test_a_call": ("postgresql", "mysql"),
    "tests/faults/test_session_limits.py::test_the_locks_of_a_process_that_hangs_in_a_wait": ("postgresql",),
    "tests/faults/walk/": ("sqlite", "postgresql"),
    "tests/integrations/test_adk": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph": ("sqlite", "postgresql", "mysql"),
    "tests/integrations/test_langgraph_concurrency": ("sqlite", "postgresql"),
    "tests/integrations/test_langgraph_store_concurrency.py::test_a_search_of_many": ("sqlite",),
    "tests/integrations/test_openai": ("sqlite", "postgresql", "mysql"),
    "tests/migrations/test_migrations.py": ("sqlite", "postgresql", "mysql", "mariadb", "oracle-double-12.1"),
    "tests/migrations/test_migrations.py::test_alembic_in_a_checkout": ("sqlite",),
    "tests/migrations/test_schema_lock.py": ("sqlite", "postgresql", "mysql", "oracle-double-12.1"),
    "tests/migrations/test_wheel.py::test_the_installed": ("sqlite",),
    "tests/oracle/test_statements.py::test_the_grammar_accepts_every_statement": ("oracle-double-12.1",),
    "tests/rolling/": ("postgresql",),
    "tests/routing/test_moves_under_load.py::test_a_move_under_load": ("postgresql",),
    "tests/routing/test_moves_under_load.py::test_a_mover_that_is_killed": ("sqlite",),
    "tests/routing/test_suite.py": ("sqlite",),
    "tests/security/test_nothing_leaks_when_connecting.py": (
        "sqlite",
        "postgresql",
        "mysql",
        "mariadb",
        "mysql-asyncmy",
        "oracle-double-23ai",
    ),
    "tests/test_examples.py": ("sqlite",),
    "tests/transfer/": ("sqlite", "postgresql"),
    "tests/transfer/test_copy.py::test_a_copy_keeps": ("postgresql",),
    "tests/transfer/test_files.py": ("postgresql",),
    "tests/transfer/test_killed.py": ("postgresql",),
    "tests/transfer/test_verify.py": ("postgresql",),
}
"""Long tests, by the beginning of their node ids, with their targets. One test copies through every database."""

BY_BOTH_TENANTS = ("sqlite",)
"""Targets on which a test of one tenant's rows runs as the default tenant too, and not only on a tenant's view."""

BY_EVERY_ROW_TYPE = ("sqlite", "citus")
"""Targets on which a conformance test of several row types runs for each of them."""

ROW_TYPES = ("SessionRow", "DaemonRow", "TraceRow", "EventRow")
"""The row types on the other targets: each has a key of another kind. The rest have the same statements."""

WITH_EVERY_ROW_TYPE = (
    "tests/conformance/test_compiled.py",
    "tests/conformance/test_plans.py",
    "tests/conformance/test_prune_plans.py",
    "tests/conformance/test_round_trip.py",
    "tests/conformance/test_tenants.py::test_only_its_own_tenant",
)
"""The beginnings of the node ids of conformance tests that run for each row type on every target.

They are about its columns or its indexes, or keep tenants apart.
"""


def is_in_dose(node_id: str, target: str, tenant: str = "", row_type: str = "") -> bool:
    """Return whether a test runs on a target and, if it has these parameters, as this tenant and for this row type."""
    if EVERYTHING:
        return True
    if tenant == "default" and target not in BY_BOTH_TENANTS:
        return False
    if row_type and not _is_row_type_in_dose(node_id, target, row_type):
        return False
    if any(target.startswith(name) and node_id.startswith(starts) for name, starts in _NOT_ON.items()):
        return False
    if any(target.startswith(name) and not node_id.startswith(starts) for name, starts in _ONLY.items()):
        return False
    return all(target in targets for start, targets in TARGETS_OF.items() if node_id.startswith(start))


def _is_row_type_in_dose(node_id: str, target: str, row_type: str) -> bool:
    if not node_id.startswith("tests/conformance/") or node_id.startswith(WITH_EVERY_ROW_TYPE):
        return True
    return target in BY_EVERY_ROW_TYPE or row_type in ROW_TYPES
