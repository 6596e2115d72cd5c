"""Passwords that are given beside the URL: a string, or a function that is called each time a connection is made."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.util import await_only

from axon_storage.dialects import Dialect
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

    def do_connect(self, _driver: object, _record: object, _positional: object, keywords: dict[str, Any]) -> None:
        """Connect with the password of this moment; a listener for SQLAlchemy's event, which runs in a greenlet."""
        # Not in a handler, so that the error has no context: the function's own error may contain the password.
        if (failure := self._set(keywords)) is not None:
            raise failure

    def _set(self, keywords: dict[str, Any]) -> PasswordError | None:
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


def use_password(engine: Engine, dialect: Dialect, password: Password, *, in_url: bool) -> None:
    """Connect with a password that is not in the URL, on all pools that have the settings of the engine's.

    ``in_url``: the URL has one too, which is refused.
    """
    own = password if isinstance(password, HiddenPassword) else HiddenPassword(password)
    own.check()
    if dialect.embedded:
        raise StorageConnectionError(f"{dialect.title} has no password: leave out the option password")
    if in_url:
        raise StorageConnectionError(
            "the database URL has a password, and the option password gives another: leave out one of them"
        )
    event.listen(engine, "do_connect", own.do_connect)
