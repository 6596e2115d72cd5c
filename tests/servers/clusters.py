"""Clusters of three servers with the same data that all accept writes: the common part of MariaDB's and MySQL's."""

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.servers import mysql
from tests.servers.process import START_SECONDS, Process, StartError, free_port

SIZE = 3
"""The number of nodes: the smallest cluster that keeps a majority when one node fails."""

# the writes of a killed server are in the operating system's cache
DURABLE = "\ninnodb-flush-log-at-trx-commit = 2\n"


@dataclass(frozen=True)
class Node:
    """One server of a cluster."""

    process: Process
    directory: Path
    url: str


@dataclass(frozen=True)
class Kind:
    """The differences between the kinds of clusters."""

    flavour: mysql.Flavour
    settings: str
    """The settings of each node, with placeholders for its number, ports and peers."""
    seed_settings: str
    """The settings of the server that all nodes are copies of."""
    state: str
    """The query for a node's state; its result is ``whole`` if the cluster is complete."""
    whole: str
    catching_up: str
    """The statement that waits until a node has applied the writes that the others acknowledged."""
    leaving: str
    """The statement that takes a node out of service."""
    joining: str
    """The statement that puts a node into service: a new one, one that left, or one that lost the majority."""
    recover: Callable[[Node], None]
    """The function that prepares the directory of a killed node for its restart."""


class Cluster:
    """A cluster. Its nodes are copies of one seed, which avoids full state transfers."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        self.kind, self._seed = kind, directory / "seed"
        self.nodes: list[Node] = []
        try:
            self._make_seed()
            self._start(directory)
        except BaseException:
            self.stop()
            raise

    def ask(self, node: Node, statements: str) -> str:
        """Run statements as a node's administrator."""
        return mysql.administer(node.directory, self.kind.flavour, statements)

    def leave(self, node: Node) -> None:
        """Take a node out of service."""
        self.ask(node, self.kind.leaving)

    def join(self, node: Node) -> None:
        """Put a node into service that has left, was killed, or has lost the majority."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask(node, self.kind.joining)
                return self._await_whole()
            except StartError:  # for example because the others have not yet noticed that it was killed
                if time.monotonic() > deadline:
                    raise

    def kill(self, node: Node) -> None:
        """Kill a node, as a power failure does."""
        node.process.stop()

    def bring_back(self, node: Node) -> None:
        """Start a killed node again; it fetches the writes that it has missed."""
        self.kind.recover(node)
        node.process.restart()
        node.process.wait_for(*mysql.ping(node.directory, self.kind.flavour))
        self.join(node)

    def signal(self, signal_: signal.Signals, *nodes: Node) -> None:
        """Send a signal to nodes: SIGSTOP makes them unreachable, as a network failure does, until SIGCONT."""
        for node in nodes:
            node.process.popen.send_signal(signal_)

    def catch_up(self) -> None:
        """Wait until every node has applied the writes that any node has acknowledged."""
        for node in self.nodes:
            self.ask(node, self.kind.catching_up)

    def stop(self) -> None:
        """Stop all nodes."""
        for node in self.nodes:
            node.process.stop()

    def _await_whole(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        for node in self.nodes:
            while (state := self.ask(node, self.kind.state)) != self.kind.whole:
                if time.monotonic() > deadline:
                    log = node.process.log.read_text(errors="replace")
                    raise StartError(f"no cluster, a node says {state!r}: {log[-2000:]}")
                time.sleep(0.05)

    def _make_seed(self) -> None:
        self._seed.mkdir()
        [process], _ = mysql.start(self._seed, self.kind.flavour, self.kind.seed_settings)
        try:
            mysql.administer(self._seed, self.kind.flavour, "SHUTDOWN")
            process.popen.wait(START_SECONDS)
        finally:
            process.stop()
        (self._seed / "data/auto.cnf").unlink(missing_ok=True)  # a MySQL server's identity

    def _start(self, directory: Path) -> None:
        ports = [(free_port(), free_port(), free_port()) for _ in range(SIZE)]
        everyone, group = ",".join(f"127.0.0.1:{peer}" for _, peer, _ in ports), uuid4()
        for number, (port, peer, transfer) in enumerate(ports, 1):
            first = number == 1
            settings = self.kind.settings.format(
                number=number, port=port, peer=peer, transfer=transfer, group=group, all=everyone,
                joined="" if first else everyone, first="ON" if first else "OFF",
            )  # fmt: skip
            self._start_node(directory / str(number), port, settings)
        self._await_whole()

    def _start_node(self, directory: Path, port: int, settings: str) -> None:
        directory.mkdir()
        shutil.copytree(self._seed / "data", directory / "data")
        mysql.configure(directory, self.kind.flavour, port, DURABLE + settings)
        process = mysql.launch(directory, self.kind.flavour)
        node = Node(process, directory, mysql.url_at(self.kind.flavour, port))
        self.nodes.append(node)
        self.ask(node, self.kind.joining)
