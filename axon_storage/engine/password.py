"""Passwords that are given beside the URL: a string, or a function that is called each time a connection is made."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.util import await_only

from axon_storage.dialects import Dialect
from axon_storage.engine.tls import Connect
from axon_storage.engine.translation import PasswordError
from axon_storage.errors import InvalidArgumentError, StorageConnectionError

Password = str | Callable[[], str | Awaitable[str]]
"""A password, or a function, which may be asynchronous, that returns the password for the next connection."""


class HiddenPassword:
    """A password with a ``repr`` that does not show it, nor the arguments of a ``functools.partial``."""

    __slots__ = ("_given",)

    def __init__(self, given: Password) -> None:
        self._given = given

    def __repr__(self) -> str:
        return "<password>"

    def __call__(self) -> str | Awaitable[str]:
        """Return the string, or what the function returns."""
        return self._given if isinstance(self._given, str) else self._given()

    def check(self) -> None:
        """Raise an :class:`InvalidArgumentError` if it is neither a string nor a function."""
        if not isinstance(self._given, str) and not callable(self._given):
            kind = type(self._given).__name__
            raise InvalidArgumentError(f"password must be a str, or a function that returns one, not {kind}")

    def connecting(self, dialect: Dialect, connect: Connect) -> Connect:
        """Return a listener for SQLAlchemy's ``do_connect`` that connects with the password of this moment.

        If the server refuses what a function has returned, the function is called once more, because the password may
        have expired in the meantime.
        """

        def do_connect(driver: Any, record: Any, positional: list[Any], keywords: dict[str, Any]) -> DBAPIConnection:
            self._set(keywords)
            given = keywords["password"]
            try:
                return connect(driver, record, positional, keywords)
            except Exception as error:
                if isinstance(self._given, str) or not dialect.refuses_login(error):
                    raise
                refused = error
            self._set(keywords)
            if keywords["password"] == given:  # it would count as one more failed login
                raise refused
            return connect(driver, record, positional, keywords)

        return do_connect

    def _set(self, keywords: dict[str, Any]) -> None:
        # Not in a handler, so that the error has no context: the function's own error may contain the password.
        if (failure := self._ask(keywords)) is not None:
            raise failure

    def _ask(self, keywords: dict[str, Any]) -> PasswordError | None:
        """Set the driver's argument, and return None; or return an error that says why there is no password."""
        try:
            answer = self()
            password = await_only(answer) if isawaitable(answer) else answer
        except Exception as error:
            return PasswordError(f"the function for the password has raised {type(error).__name__}", transient=True)
        if not isinstance(password, str):
            return PasswordError(f"the function for the password has returned {type(password).__name__}, not str")
        keywords["password"] = password
        return None


def hidden_password(given: Password | None) -> Password | None:
    """Return a password with another ``repr``.

    Every public function that takes a password begins with it, so that its frame in a traceback does not show it.
    """
    return given if given is None or isinstance(given, HiddenPassword) else HiddenPassword(given)


def with_password(connect: Connect, dialect: Dialect, password: Password, *, in_url: bool) -> Connect:
    """Return a listener that connects with a password that is not in the URL. ``in_url``: it is there too: refused."""
    own = password if isinstance(password, HiddenPassword) else HiddenPassword(password)
    own.check()
    if dialect.embedded:
        raise StorageConnectionError(f"{dialect.title} has no password: leave out the option password")
    if in_url:
        raise StorageConnectionError(
            "the database URL has a password, and the option password gives another: leave out one of them"
        )
    return own.connecting(dialect, connect)
