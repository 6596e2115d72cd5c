"""The versions of MySQL, MariaDB and their drivers."""

from collections.abc import Sequence
from typing import ClassVar

from axon_storage.dialects.versions import OldestServer, ServerVersions


class MySQLVersions(ServerVersions):
    """MySQL 9.7, the long-term release."""

    tested_servers: ClassVar[Sequence[str]] = ("9.7",)
    tested_drivers = {"aiomysql": "0.3", "asyncmy": "0.2"}
    # the manual, "Changes in MySQL 8.0.17"
    oldest_server = OldestServer((8, 0, 17), "it lacks the collation utf8mb4_0900_bin")


class MariaDBVersions(MySQLVersions):
    """MariaDB 10.11 and 11.8, the long-term releases."""

    tested_servers = ("10.11", "11.8")
    # MDEV-9711
    oldest_server = OldestServer((10, 2, 2), "it lacks the collation utf8mb4_nopad_bin")
