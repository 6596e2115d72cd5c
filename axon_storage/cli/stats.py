"""``axon-storage stats`` and ``axon-storage tenants list``: the size of a database, and its tenants."""

from axon_storage.cli.formats import document, moment, size
from axon_storage.cli.options import Json, Url, opened
from axon_storage.cli.terminal import note, run, show, show_json, show_table
from axon_storage.model.stats import StorageStats


def stats(url: Url, as_json: Json = False) -> None:
    """Show the rows, the size and the period of each table.

    The rows of all tenants are counted. A database may estimate the numbers of large tables.
    """
    found = run(_stats(url))
    if as_json:
        show_json(document(found))
        return
    show(f"{found.database} {found.server_version}, schema revision {found.revision}, all tenants")
    show_table(
        ["table", "rows", "size", "oldest", "newest"],
        [
            [each.table, f"{'' if each.is_exact else '~'}{each.rows:,}", size(each.bytes), moment(each.oldest),
             moment(each.newest)]
            for each in found.tables
        ],
    )  # fmt: skip
    if not all(each.is_exact for each in found.tables):
        note("~ is an estimate of the database")


async def _stats(url: str) -> StorageStats:
    async with opened(url) as storage:
        return await storage.stats()
