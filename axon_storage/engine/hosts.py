"""Connects to the first of the hosts of a URL that can be used."""

from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Dialect as DriverDialect
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from axon_storage.dialects import Dialect, Host, Hosts, UnsupportedServer, execute
from axon_storage.engine.deadline import Deadline
from axon_storage.engine.tls import Connect
from axon_storage.engine.translation import NoHostError
from axon_storage.errors import TimedOutError

_UNSUITABLE = "the server is not what target_session_attrs asks for, which is read-write if there are several hosts"


class HostList:
    """The hosts of an engine, and the one that was connected to last, which is tried first.

    Each host gets an equal share of the rest of ``seconds``, so that one that does not answer leaves time for the
    others. A host is given up at a transient error only: a refused password is the same on every host.
    """

    def __init__(self, dialect: Dialect, hosts: Hosts, seconds: float, connect: Connect) -> None:
        self._dialect, self._hosts, self._seconds, self._connect = dialect, hosts, seconds, connect
        self._first = 0
        self._used: Host | None = None

    @property
    def used(self) -> Host | None:
        """The host of the last connection; None if there was none, or if the URL has one host."""
        return self._used

    def connect(
        self, driver: DefaultDialect, record: ConnectionPoolEntry, positional: list[Any], keywords: dict[str, Any]
    ) -> DBAPIConnection:
        """Connect to one of the hosts; raise a :class:`NoHostError` that names what each has answered."""
        end, count, first = monotonic() + self._seconds, max(len(self._hosts.places), 1), self._first
        failures = []
        for turn in range(count):
            number = (first + turn) % count
            place = self._hosts.places[number] if self._hosts.places else None
            arguments = {**keywords, "host": place.address, "port": place.port} if place else keywords
            try:
                with Deadline((end - monotonic()) / (count - turn)):
                    connection = self._connect(driver, record, positional, arguments)
                    if self._is_suitable(driver, connection):
                        self._first, self._used = number, place
                        return connection
                    reason = _UNSUITABLE
            except Exception as error:
                if not (reason := self._transient(error)):
                    raise
            except BaseException:  # cancelled, so that a call with a short timeout gets further when it is repeated
                self._pass_over(number)
                raise
            self._pass_over(number)
            failures.append(f"host {place.address}:{place.port}: {reason}" if place else reason)
        raise NoHostError("; ".join(failures), transient=True)

    def _pass_over(self, number: int) -> None:
        """Begin the next connection with the host after this one, unless another connection has found one."""
        if self._first == number:
            self._first = (number + 1) % max(len(self._hosts.places), 1)

    def _is_suitable(self, driver: Any, connection: DBAPIConnection) -> bool:
        """Return whether the server answers as the URL asks; otherwise close the connection."""
        if self._hosts.query is None:
            return True
        suitable = False
        try:
            suitable = str(execute(connection, self._hosts.query)[0]) in self._hosts.answers
            connection.rollback()
        finally:
            if not suitable:
                driver.do_terminate(connection)
        return suitable

    def _transient(self, error: Exception) -> str:
        """Return what is wrong with a host, or an empty string if the error concerns all hosts."""
        if isinstance(error, UnsupportedServer):  # such as one without the TLS of the URL
            return ""
        cause = self._dialect.driver_error(error)
        if self._dialect.is_driver_error(cause):
            found = self._dialect.classify_error(cause)
            return f"[{found.code}] {found.message}" if found.transient else ""
        if isinstance(error, TimedOutError):
            return "no answer"
        return error.strerror or type(error).__name__ if isinstance(error, OSError) else ""


_by_dialect: "WeakKeyDictionary[DriverDialect, HostList]" = WeakKeyDictionary()


def use_hosts(engine: Engine, hosts: HostList) -> None:
    """Keep the hosts of an engine, for :func:`host_in_use`."""
    _by_dialect[engine.dialect] = hosts


def host_in_use(engine: Engine) -> Host | None:
    """Return which of several hosts an engine has connected to last; None if there was none, or if it has one host."""
    hosts = _by_dialect.get(engine.dialect)
    return None if hosts is None else hosts.used
