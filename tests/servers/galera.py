"""A MariaDB Galera cluster."""

import os
import re
from dataclasses import replace
from pathlib import Path

from tests.servers import mysql
from tests.servers.clusters import SIZE, Kind, Node
from tests.servers.process import free_port, run

SETTINGS = """
binlog-format = ROW
innodb-autoinc-lock-mode = 2
wsrep-on = ON
wsrep-provider = {library}
wsrep-cluster-name = axon
wsrep-cluster-address = gcomm://{joined}
wsrep-node-address = 127.0.0.1
wsrep-sst-method = seeded
wsrep-slave-threads = 2
wsrep-provider-options = "gmcast.listen_addr=tcp://127.0.0.1:{peer};ist.recv_addr=127.0.0.1:{transfer};\
pc.recovery=false;gcache.size=16M;evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.5S;\
evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S"
"""

# The program for state transfers between nodes. Debian's programs fail as root, and their package starts a service. All
# nodes begin as copies, so they need only later changes, and from this program only their position.
TRANSFER = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        --role) role=$2 ;;
        --datadir) data=$2 ;;
        --address) file=$2 ;;
        --gtid) place=$2 ;;
        --bypass) changes_suffice=1 ;;
    esac
    shift
done
if [ "$role" = donor ]; then
    [ "$changes_suffice" ] && echo "$place" >"$file.new" && mv "$file.new" "$file" && echo "done $place"
else
    file=${data%/}/place
    rm -f "$file"
    echo "ready $file"
    until [ -e "$file" ]; do sleep 0.05; done
    cat "$file"
fi
"""


def kind(programs: Path, library: Path, directory: Path) -> Kind:
    """MariaDB with the Galera library; the state transfer program is written into the directory."""
    transfer = directory / "wsrep_sst_seeded"
    transfer.write_text(TRANSFER)
    transfer.chmod(0o755)
    flavour = replace(mysql.mariadb(programs), environment=(f"PATH={directory}:{os.environ['PATH']}",))
    settings = SETTINGS.replace("{library}", str(library))
    return Kind(
        flavour,
        settings,
        # a cluster of one node, so that its data have a position in the log of changes
        seed_settings=settings.format(joined="", peer=free_port(), transfer=free_port()),
        state="SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_size', 'wsrep_ready')",
        whole=f"wsrep_cluster_size\t{SIZE}\nwsrep_ready\tON",
        catching_up="SET SESSION wsrep_sync_wait = 1; SELECT COUNT(*) FROM axon.traces",
        leaving="SET GLOBAL wsrep_reject_queries = ALL",
        joining="SET GLOBAL wsrep_reject_queries = NONE",
        recover=lambda node: _recover(flavour, node),
    )


def _recover(flavour: mysql.Flavour, node: Node) -> None:
    """Recover the position of a killed node's data, as Debian's service does."""
    settings = node.directory / "my.cnf"
    run(flavour.server, f"--defaults-file={settings}", "--wsrep-recover")
    places = re.findall(r"Recovered position: (\S+)", node.process.log.read_text(errors="replace"))
    with settings.open("a") as file:
        file.write(f"wsrep-start-position = {places[-1]}\n")
