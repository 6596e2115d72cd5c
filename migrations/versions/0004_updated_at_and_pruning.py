"""Record when keyed rows were last saved (updated_at), and what was pruned (axon_storage_pruning).

Revision 0004, after 0003.

The column may be NULL: that of existing rows is, and a release before this revision leaves it out. Adding it rewrites
no row. Rows whose column is NULL count as saved when a prune run first meets them.
"""

from sqlalchemy import Column, PrimaryKeyConstraint

from axon_storage.schema import operations as op
from axon_storage.sql.types import Identifier, RowId, UtcTimestamp

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("axon_stores", "daemons", "dataspaces", "execution_cache", "hibernations", "schedules", "sessions")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, Column("updated_at", UtcTimestamp(), nullable=True))
    op.create_table(
        "axon_storage_pruning",
        Column("tenant_id", Identifier(64), autoincrement=False, nullable=False),
        Column("table_name", Identifier(255), autoincrement=False, nullable=False),
        Column("pruned_before", UtcTimestamp(), nullable=True),
        Column("holder", RowId(), nullable=True),
        Column("held_until", UtcTimestamp(), nullable=True),
        PrimaryKeyConstraint("tenant_id", "table_name", name=op.f("pk_axon_storage_pruning")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )


def downgrade() -> None:
    op.drop_table("axon_storage_pruning")
    for table in TABLES:
        op.drop_column(table, "updated_at")
