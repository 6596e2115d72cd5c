"""Leave room in each page of tables whose rows are updated, on PostgreSQL (fillfactor).

Revision 0003, after 0002.

An update can then stay in the row's page without changing an index (a heap-only tuple). Existing pages are not
rewritten, and other sessions can read and write meanwhile.
"""

from axon_storage.schema import operations as op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("axon_stores", "daemons", "dataspaces", "hibernations", "schedules", "sessions", "traces")


def upgrade() -> None:
    for table in TABLES:
        op.set_fillfactor(table, 80)


def downgrade() -> None:
    for table in TABLES:
        op.set_fillfactor(table, None)
