"""Three servers that all take writes and hold the same: what MariaDB's and MySQL's clusters have in common."""

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
"""As few as can lose one and go on: the others are a majority."""

# a killed server's writes are with the machine, which lives on
DURABLE = "\ninnodb-flush-log-at-trx-commit = 2\n"


@dataclass(frozen=True)
class Node:
    """One server of a cluster."""

    process: Process
    directory: Path
    url: str


@dataclass(frozen=True)
class Kind:
    """What tells the clusters apart."""

    flavour: mysql.Flavour
    settings: str
    """Each node's; its number, ports and peers are filled in."""
    seed_settings: str
    """Those of the server that all nodes are copies of."""
    state: str
    """Asks a node how it is; one of a whole cluster answers ``whole``."""
    whole: str
    catching_up: str
    """Waits until a node has applied what the others acknowledged."""
    leaving: str
    """Takes a node out of service."""
    joining: str
    """Puts it into service: a new one, one that left, and one that lost the majority."""
    recover: Callable[[Node], None]
    """Makes a killed node's directory fit to be started from again."""


class Cluster:
    """Copies of one seed, so that nobody needs all of another's state, started one after another."""

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
        """Put a node into service that left, died or lost the others."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask(node, self.kind.joining)
                return self._await_whole()
            except StartError:  # such as while the others have not noticed yet that it died
                if time.monotonic() > deadline:
                    raise

    def kill(self, node: Node) -> None:
        """End a node as a machine does that loses its power."""
        node.process.stop()

    def bring_back(self, node: Node) -> None:
        """Start a killed node again, which fetches what it missed."""
        self.kind.recover(node)
        node.process.restart()
        node.process.wait_for(*mysql.ping(node.directory, self.kind.flavour))
        self.join(node)

    def signal(self, signal_: signal.Signals, *nodes: Node) -> None:
        """Have nodes stop answering with SIGSTOP, as if the network to them were cut, and go on with SIGCONT."""
        for node in nodes:
            node.process.popen.send_signal(signal_)

    def catch_up(self) -> None:
        """Wait until every node shows what was acknowledged, by whichever node."""
        for node in self.nodes:
            self.ask(node, self.kind.catching_up)

    def stop(self) -> None:
        """Stop the servers that were started here."""
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
