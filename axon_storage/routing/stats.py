"""The sum of the statistics of several databases."""

from collections.abc import Sequence

from axon_storage.model.rows import ROW_TYPES
from axon_storage.model.stats import StorageStats, TableStats


def sum_of(found: Sequence[StorageStats]) -> StorageStats:
    """Return the statistics of all databases together. The revision is the oldest one, or None if one has none."""
    revisions = [each.revision for each in found]
    known = [revision for revision in revisions if revision is not None]
    tables = (
        _sum([table for each in found for table in each.tables if table.table == row_type.TABLE], row_type.TABLE)
        for row_type in ROW_TYPES
    )
    return StorageStats(
        database=", ".join(sorted({each.database for each in found})),
        server_version=", ".join(sorted({each.server_version for each in found})),
        revision=min(known, default=None) if len(known) == len(revisions) else None,
        tables=tuple(tables),
    )


def _sum(tables: Sequence[TableStats], name: str) -> TableStats:
    sizes = [table.bytes for table in tables]
    known = [size for size in sizes if size is not None]
    return TableStats(
        table=name,
        rows=sum(table.rows for table in tables),
        is_exact=all(table.is_exact for table in tables),
        bytes=sum(known) if len(known) == len(sizes) else None,
        oldest=min((table.oldest for table in tables if table.oldest is not None), default=None),
        newest=max((table.newest for table in tables if table.newest is not None), default=None),
    )
