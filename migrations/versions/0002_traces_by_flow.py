"""Add an index for reading the traces of a flow, newest first.

Revision 0002, after 0001.
"""

from axon_storage.schema import operations as op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_traces_flow", "traces", ["tenant_id", "flow_name", "created_id"], online=True)


def downgrade() -> None:
    op.drop_index("ix_traces_flow", table_name="traces")
