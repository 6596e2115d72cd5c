"""The base class for URLs with several hosts: how they are written, and which server is used."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, NamedTuple

from sqlalchemy.engine import URL

from axon_storage.dialects.identity import parameter

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?")
_FORM = "host=one:{port}&host=two:{port}"
_ATTRIBUTE = "target_session_attrs"


class Host(NamedTuple):
    """The name or the address of a host, and the port of its server."""

    address: str
    port: int


class Hosts(NamedTuple):
    """The hosts of a URL; empty if it names one, which the driver reads.

    ``query``: asks a server for its state; None if each may be used. ``answers``: those of a server that may be used.
    """

    places: Sequence[Host]
    query: str | None
    answers: Collection[str]


class HostSupport:
    """The hosts of a URL, as libpq and SQLAlchemy write them. Without ``session_attributes`` there is one host."""

    default_port: ClassVar[int | None]
    session_attributes: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {}
    """The values of ``target_session_attrs`` besides ``any``, each with a query and the answers of such a server."""

    def split_hosts(self, url: URL) -> tuple[URL, Hosts | None]:
        """Return a URL without ``target_session_attrs``, and its hosts; None if the driver connects to its only host.

        Raise a ValueError for hosts or a value that cannot be used.
        """
        if not self.session_attributes:
            return url, None
        places = self._places(url)
        if len(listed(url, _ATTRIBUTE)) > 1:
            raise ValueError(f"the URL has {_ATTRIBUTE} more than once")
        wanted = parameter(url, _ATTRIBUTE) or ("read-write" if places else "any")
        if wanted != "any" and wanted not in self.session_attributes:
            raise ValueError(f"{_ATTRIBUTE} must be any or {' or '.join(self.session_attributes)}")
        url = url.difference_update_query([_ATTRIBUTE])
        if places:  # the form in which SQLAlchemy takes every address
            lists = {"host": [place.address for place in places], "port": [str(place.port) for place in places]}
            url = url.update_query_dict({name: ",".join(values) for name, values in lists.items()})
        query, answers = self.session_attributes.get(wanted, (None, ()))
        return url, Hosts(places, query, answers) if places or query else None

    def _places(self, url: URL) -> list[Host]:
        """Return the hosts of a URL that names several, otherwise an empty list."""
        form = _FORM.format(port=self.default_port)
        if "," in (url.host or ""):
            raise ValueError(f"several hosts are parameters of the URL: scheme://user:password@/name?{form}")
        hosts, ports = listed(url, "host"), listed(url, "port")
        if len(hosts) < 2:
            return []
        if url.host or url.port:
            raise ValueError("the URL names a host before the parameters, too: leave it out")
        if ports and len(ports) not in {1, len(hosts)}:
            raise ValueError(f"the URL has {len(hosts)} hosts and {len(ports)} ports: write {form}")
        ports = ports * len(hosts) if len(ports) == 1 else ports or [""] * len(hosts)
        return [self._place(number, *pair) for number, pair in enumerate(zip(hosts, ports, strict=True), 1)]

    def _place(self, number: int, host: str, port: str) -> Host:
        match = _HOST.fullmatch(host)
        if match is None or (match[3] and port) or not (port or "1").isdecimal():
            # not the host, which may be a part of a password
            form = _FORM.format(port=self.default_port)
            raise ValueError(f"host {number} of the URL is not a name or an address with a port: write {form}")
        made = int(match[3] or port or self.default_port or 0)
        if not 0 < made < 2**16:
            raise ValueError(f"the port of host {number} of the URL is not between 1 and 65535")
        return Host(match[1] or match[2], made)


def listed(url: URL, name: str) -> list[str]:
    """Return the values of a parameter, which may be repeated, or have commas."""
    values = url.query.get(name, ())
    return [part for value in ([values] if isinstance(values, str) else values) for part in value.split(",")]
