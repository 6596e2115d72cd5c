"""The versions of SQLite and its driver."""

from axon_storage.dialects.versions import ServerVersions


class SQLiteVersions(ServerVersions):
    """SQLite's library, which Python's ``sqlite3`` module loads."""

    tested_servers = ("3.40", "3.42", "3.53")
    tested_drivers = {"aiosqlite": "0.22"}
