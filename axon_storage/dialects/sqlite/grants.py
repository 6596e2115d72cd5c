"""Why SQLite has no privileges."""

from axon_storage.dialects.grants import GrantSupport


class SQLiteGrants(GrantSupport):
    """A file has no accounts."""

    no_grants_because = (
        "SQLite has no accounts: who can write the file can change everything in it. Use the permissions of the file "
        "and its folder, and mode=ro in the URL of a reader"
    )
