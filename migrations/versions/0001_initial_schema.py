"""Create the eleven tables.

Revision 0001, the first.
"""

import sqlalchemy as sa

from axon_storage.schema import operations as op
from axon_storage.sql import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("id", types.RowId(), autoincrement=False, nullable=False),
        sa.Column("action", types.Identifier(255), nullable=False),
        sa.Column("actor", types.Identifier(255), nullable=False),
        sa.Column("target", types.Identifier(900), nullable=False),
        sa.Column("detail", types.JsonDocument(), nullable=False),
        sa.Column("timestamp_utc", types.UtcTimestamp(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_audit_log")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_table(
        "axon_stores",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("name", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("ontology", types.LongText(), nullable=False),
        sa.Column("entries", types.JsonDocument(), nullable=False),
        sa.Column("created_at", types.UInt64(), nullable=False),
        sa.Column("total_ops", types.UInt64(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_axon_stores")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_table(
        "cost_tracking",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("id", types.RowId(), autoincrement=False, nullable=False),
        sa.Column("flow_name", types.Identifier(255), nullable=False),
        sa.Column("backend", types.Identifier(255), nullable=False),
        sa.Column("input_tokens", types.UInt64(), nullable=False),
        sa.Column("output_tokens", types.UInt64(), nullable=False),
        sa.Column("cost_usd", types.Float64(), nullable=False),
        sa.Column("timestamp_utc", types.UtcTimestamp(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_cost_tracking")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_index("ix_cost_tracking_flow", "cost_tracking", ["tenant_id", "flow_name", "id"])
    op.create_table(
        "daemons",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("name", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("state", types.Identifier(255), nullable=False),
        sa.Column("source_file", types.Identifier(900), nullable=False),
        sa.Column("flow_name", types.Identifier(255), nullable=False),
        sa.Column("event_count", types.UInt64(), nullable=False),
        sa.Column("restart_count", types.UInt32(), nullable=False),
        sa.Column("trigger_topic", types.Identifier(255), nullable=True),
        sa.Column("output_topic", types.Identifier(255), nullable=True),
        sa.Column("lifecycle_events", types.JsonDocument(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_daemons")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_table(
        "dataspaces",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("name", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("ontology", types.LongText(), nullable=False),
        sa.Column("entries", types.JsonDocument(), nullable=False),
        sa.Column("associations", types.JsonDocument(), nullable=False),
        sa.Column("created_at", types.UInt64(), nullable=False),
        sa.Column("total_ops", types.UInt64(), nullable=False),
        sa.Column("next_id", types.UInt64(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_dataspaces")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_table(
        "event_history",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("id", types.RowId(), autoincrement=False, nullable=False),
        sa.Column("topic", types.Identifier(255), nullable=False),
        sa.Column("source", types.Identifier(255), nullable=False),
        sa.Column("payload", types.JsonDocument(), nullable=False),
        sa.Column("timestamp_utc", types.UtcTimestamp(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_event_history")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_index("ix_event_history_topic", "event_history", ["tenant_id", "topic", "id"])
    op.create_table(
        "execution_cache",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("flow_name", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("cache_key", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("result", types.JsonDocument(), nullable=False),
        sa.Column("ttl_secs", types.Int32(), nullable=True),
        sa.Column("hit_count", types.UInt64(), nullable=False),
        sa.Column("expires_at", types.UtcTimestamp(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "flow_name", "cache_key", name=op.f("pk_execution_cache")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_index("ix_execution_cache_expiry", "execution_cache", ["tenant_id", "expires_at"])
    op.create_table(
        "hibernations",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("id", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("name", types.Identifier(255), nullable=False),
        sa.Column("operation", types.Identifier(255), nullable=False),
        sa.Column("status", types.Identifier(255), nullable=False),
        sa.Column("checkpoints", types.JsonDocument(), nullable=False),
        sa.Column("resumed_from", types.Int32(), nullable=True),
        sa.Column("created_at", types.UInt64(), nullable=False),
        sa.Column("last_status_change", types.UInt64(), nullable=False),
        sa.Column("next_checkpoint_id", types.UInt32(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_hibernations")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_table(
        "schedules",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("name", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("flow_name", types.Identifier(255), nullable=False),
        sa.Column("interval_secs", types.UInt64(), nullable=False),
        sa.Column("enabled", types.Flag(), nullable=False),
        sa.Column("backend", types.Identifier(255), nullable=False),
        sa.Column("last_run", types.UInt64(), nullable=False),
        sa.Column("next_run", types.UInt64(), nullable=False),
        sa.Column("run_count", types.UInt64(), nullable=False),
        sa.Column("error_count", types.UInt64(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_schedules")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("scope", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("key", types.Identifier(255), autoincrement=False, nullable=False),
        sa.Column("value", types.LongText(), nullable=False),
        sa.Column("source_step", types.Identifier(255), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scope", "key", name=op.f("pk_sessions")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_table(
        "traces",
        sa.Column("tenant_id", types.Identifier(64), autoincrement=False, nullable=False),
        sa.Column("trace_id", types.UInt64(), autoincrement=False, nullable=False),
        sa.Column("flow_name", types.Identifier(255), nullable=False),
        sa.Column("status", types.Identifier(255), nullable=False),
        sa.Column("steps_executed", types.UInt32(), nullable=False),
        sa.Column("latency_ms", types.UInt64(), nullable=False),
        sa.Column("tokens_input", types.UInt64(), nullable=False),
        sa.Column("tokens_output", types.UInt64(), nullable=False),
        sa.Column("anchor_checks", types.UInt32(), nullable=False),
        sa.Column("anchor_breaches", types.UInt32(), nullable=False),
        sa.Column("errors", types.UInt32(), nullable=False),
        sa.Column("retries", types.UInt32(), nullable=False),
        sa.Column("source_file", types.Identifier(900), nullable=False),
        sa.Column("backend", types.Identifier(255), nullable=False),
        sa.Column("client_key", types.Identifier(255), nullable=False),
        sa.Column("replay_of", types.UInt64(), nullable=True),
        sa.Column("correlation_id", types.Identifier(255), nullable=True),
        sa.Column("events", types.JsonDocument(), nullable=False),
        sa.Column("annotations", types.JsonDocument(), nullable=False),
        sa.Column("created_id", types.RowId(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "trace_id", name=op.f("pk_traces")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )
    op.create_index("ix_traces_created", "traces", ["tenant_id", "created_id"])


def downgrade() -> None:
    op.drop_index("ix_traces_created", table_name="traces")
    op.drop_table("traces")
    op.drop_table("sessions")
    op.drop_table("schedules")
    op.drop_table("hibernations")
    op.drop_index("ix_execution_cache_expiry", table_name="execution_cache")
    op.drop_table("execution_cache")
    op.drop_index("ix_event_history_topic", table_name="event_history")
    op.drop_table("event_history")
    op.drop_table("dataspaces")
    op.drop_table("daemons")
    op.drop_index("ix_cost_tracking_flow", table_name="cost_tracking")
    op.drop_table("cost_tracking")
    op.drop_table("axon_stores")
    op.drop_table("audit_log")
