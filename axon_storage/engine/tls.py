"""Parses the TLS parameters of a URL, which are the same for every driver, and connects with them."""

import ssl
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from axon_storage.dialects import Dialect, Tls, UnsupportedServer

Connect = Callable[[DefaultDialect, ConnectionPoolEntry, list[Any], dict[str, Any]], DBAPIConnection]
"""A listener for SQLAlchemy's ``do_connect`` that connects; it runs in a greenlet."""

# Each parameter, with libpq's name first and then MySQL's.
_PARAMETERS = {
    "mode": ("sslmode", "ssl_mode", "ssl"),
    "ca": ("sslrootcert", "ssl_ca"),
    "cert": ("sslcert", "ssl_cert"),
    "key": ("sslkey", "ssl_key"),
}

_MODES = {
    **dict.fromkeys(("disable", "disabled", "false", "0"), "disable"),
    **dict.fromkeys(("allow", "prefer", "preferred"), "prefer"),
    **dict.fromkeys(("require", "required"), "require"),
    "verify-ca": "verify-ca",
    **dict.fromkeys(("verify-full", "verify-identity", "true", "1"), "verify-full"),
}


def split_tls(url: URL) -> tuple[URL, Tls | None]:
    """Return a URL without its TLS parameters, and its TLS settings, or None if it has none."""
    given: dict[str, str] = {}
    for parameter, names in _PARAMETERS.items():
        for name in names:
            if name in url.query:
                given[parameter] = str(url.query[name])
    return url.difference_update_query([name for names in _PARAMETERS.values() for name in names]), _tls(**given)


def connector(dialect: Dialect, *, required: bool) -> Connect:
    """Return a listener for SQLAlchemy's ``do_connect`` that connects with TLS.

    If the server does not offer TLS, the listener connects without TLS, or raises :class:`UnsupportedServer` if TLS is
    ``required``.
    """

    def do_connect(
        driver: DefaultDialect, _record: ConnectionPoolEntry, positional: list[Any], keywords: dict[str, Any]
    ) -> DBAPIConnection:
        options = dialect.tls_options(driver.loaded_dbapi) if required else {}
        try:
            return driver.connect(*positional, **keywords, **options)
        except Exception as error:
            refusal = dialect.tls_refusal(error)
            if refusal is None:
                raise
            if required:
                raise UnsupportedServer(refusal) from error
            return driver.connect(*positional, **{name: value for name, value in keywords.items() if name != "ssl"})

    return do_connect


def plainly(
    driver: DefaultDialect, _record: ConnectionPoolEntry, positional: list[Any], keywords: dict[str, Any]
) -> DBAPIConnection:
    """Connect as SQLAlchemy does without a listener."""
    return driver.connect(*positional, **keywords)


def _tls(mode: str | None = None, ca: str | None = None, cert: str | None = None, key: str | None = None) -> Tls | None:
    """Return the TLS settings for the parameters of a URL.

    ``require`` encrypts. ``verify-ca`` also checks the certificate, and ``verify-full`` also the host name. As with
    libpq, with a CA file ``require`` checks the certificate. Without a mode, a CA file means ``verify-full``.
    """
    if mode is None and ca is None:
        if cert is not None or key is not None:
            raise ValueError("sslcert and sslkey are of no use without sslmode or sslrootcert")
        return None
    mode = _MODES.get((mode or "verify-full").lower().replace("_", "-"))
    if mode is None:
        raise ValueError("sslmode must be disable, prefer, require, verify-ca or verify-full")
    if mode == "disable":
        return Tls(None, required=False)
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise ValueError(f"a TLS file cannot be read: {error.strerror or type(error).__name__}") from None
    context.check_hostname = mode == "verify-full"
    if mode == "prefer" or (mode == "require" and ca is None):
        context.verify_mode = ssl.CERT_NONE
    return Tls(context, required=mode != "prefer")
