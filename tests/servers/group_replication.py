"""A MySQL Group Replication cluster in which every member is a primary."""

from pathlib import Path

from tests.servers import mysql
from tests.servers.clusters import SIZE, Kind

# A node without a majority waits long before it gives up, so that frozen nodes can find each other again.
SETTINGS = """
server-id = {number}
gtid-mode = ON
enforce-gtid-consistency = ON
log-bin = binlog
sync-binlog = 0
performance-schema = ON
report-host = 127.0.0.1
report-port = {port}
plugin-load-add = group_replication.so
group-replication-start-on-boot = OFF
group-replication-group-name = {group}
group-replication-bootstrap-group = {first}
group-replication-local-address = 127.0.0.1:{peer}
group-replication-group-seeds = {all}
group-replication-ip-allowlist = 127.0.0.0/8
group-replication-single-primary-mode = OFF
group-replication-enforce-update-everywhere-checks = ON
group-replication-recovery-get-public-key = ON
group-replication-member-expel-timeout = 0
group-replication-unreachable-majority-timeout = 5
"""


def kind(root: Path) -> Kind:
    """MySQL with its Group Replication plugin."""
    return Kind(
        mysql.mysql(root),
        SETTINGS,
        seed_settings="",
        state="SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE'",
        whole=str(SIZE),
        catching_up="SET SESSION group_replication_consistency = 'BEFORE'; SELECT COUNT(*) FROM axon.traces",
        leaving="STOP GROUP_REPLICATION",
        # the first node creates the group when it first starts
        joining="STOP GROUP_REPLICATION; "
        f"START GROUP_REPLICATION USER = '{mysql.USER}', PASSWORD = '{mysql.PASSWORD}'; "
        "SET GLOBAL group_replication_bootstrap_group = OFF",
        recover=lambda _: None,
    )
