"""PostgreSQL leaves room in each page of a table whose rows are updated.

Revision 0003, after 0002.

An update then stays in the row's page, and no index changes (a heap-only tuple). Existing pages stay as they are, and
other sessions can read and write meanwhile.
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
