"""Create the table of the seals of the audit log (axon_storage_audit_seals).

Revision 0005, after 0004.

No other table changes, and no release before this revision reads or writes the table.
"""

from sqlalchemy import Column, PrimaryKeyConstraint

from axon_storage.schema import operations as op
from axon_storage.sql.types import Flag, Identifier, LongText, RowId, UInt64, UtcTimestamp

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "axon_storage_audit_seals",
        Column("tenant_id", Identifier(64), autoincrement=False, nullable=False),
        Column("seal_number", UInt64(), autoincrement=False, nullable=False),
        Column("first_id", RowId(), nullable=False),
        Column("end_id", RowId(), nullable=False),
        Column("entries", UInt64(), nullable=False),
        Column("pruned_before", UtcTimestamp(), nullable=True),
        Column("sealed_at", UtcTimestamp(), nullable=False),
        Column("previous_hash", Identifier(64), nullable=False),
        Column("digests_hash", Identifier(64), nullable=False),
        Column("seal_hash", Identifier(64), nullable=False),
        Column("has_digests", Flag(), nullable=False),
        Column("digests", LongText(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "seal_number", name=op.f("pk_axon_storage_audit_seals")),
        mariadb_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )


def downgrade() -> None:
    op.drop_table("axon_storage_audit_seals")
