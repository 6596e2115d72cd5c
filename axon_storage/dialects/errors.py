"""Driver errors: classification by code, messages and causes without bound values, refusals of TLS."""

import re
from collections.abc import Collection, Mapping
from ssl import SSLCertVerificationError
from typing import ClassVar, NamedTuple

from sqlalchemy.exc import DBAPIError

_MESSAGE_LENGTH = 200  # long enough for two names of 64 characters each
_VALUE = re.compile(r"""(?<![A-Za-z])'|["`(\[{:]|(?<![A-Za-z])-?\d""")  # not an apostrophe inside a word

_TLS_REFUSED = "the TLS that the URL asks for is not available"
_DENIED = "the account lacks a right; the owner of the tables migrates, `axon-storage migrate grants` helps the others"
_ANSWERED_IN_PLAIN_TEXT = "WRONG_VERSION_NUMBER"


class ErrorClass(NamedTuple):
    """A driver's error, classified.

    ``code``: the driver's code. ``message``: the driver's message, without bound values. ``connection``: whether the
    connection or the server failed, and not the statement. ``transient``: whether the transaction may succeed when it
    is run again.
    """

    code: str
    message: str
    connection: bool
    transient: bool


class DriverErrors:
    """The part of a :class:`Dialect` that handles the errors of its drivers."""

    driver_modules: ClassVar[frozenset[str]]
    """The top-level modules that define the driver's exceptions."""

    connection_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors of the connection or the server, with their names. Such a connection is not used again."""
    transient_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors after which the transaction may succeed when it is run again, with their names."""
    fail_over_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors after which no connection of the engine is used again, with their names."""
    lock_timeout_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors for a lock that was not free in time, with their names."""
    missing_index_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors for an index that a statement names but that does not exist, with their names."""
    lost_race_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors after which a save may be run again in the same transaction, with their names."""
    codes_without_values: ClassVar[Mapping[str, str]] = {}
    """Codes of other errors whose messages never contain a value, with their names."""

    denied_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors for a right that the account lacks, with their names."""
    login_codes: ClassVar[Mapping[str, str]] = {}
    """Codes of errors for a name or a password that the server refuses, with their names."""

    def code(self, error: BaseException) -> str:
        """Return the code of a driver's error, or an empty string."""
        raise NotImplementedError

    def classify_error(self, error: BaseException, *, invalidated: bool = False) -> ErrorClass:
        """Classify a driver's error by its code. ``invalidated``: SQLAlchemy has found that the connection is lost."""
        code = self.code(error)
        transient = invalidated or code in self.transient_codes
        connection = invalidated or code in self.connection_codes
        message = self.message_without_values(error)
        message = f"{message}: {_DENIED}" if code in self.denied_codes else message
        return ErrorClass(code, message, connection, transient)

    def driver_error(self, error: BaseException) -> BaseException:
        """Return the driver's own error, without the wrappers of SQLAlchemy and of its asyncio adapter."""
        inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        seen: list[BaseException] = []  # an error of the host application may be its own cause
        while not self.is_driver_error(inner) and inner.__cause__ is not None and inner not in seen:
            seen.append(inner)
            inner = inner.__cause__
        return inner

    def is_missing_index(self, error: BaseException) -> bool:
        """Return whether an error says that an index named by a statement does not exist."""
        return self.code(self.driver_error(error)) in self.missing_index_codes

    def continues_after(self, error: BaseException) -> bool:
        """Return whether a unit of work does not fail with a driver's error, but sends another statement."""
        return self.code(error) in self.lost_race_codes or self.code(error) in self.missing_index_codes

    def refuses_login(self, error: BaseException) -> bool:
        """Return whether the server has refused the name or the password."""
        return self.code(self.driver_error(error)) in self.login_codes

    def is_driver_error(self, error: BaseException) -> bool:
        """Return whether an exception is the driver's own."""
        return type(error).__module__.partition(".")[0] in self.driver_modules

    # Messages and causes without bound values.

    def message_without_values(self, error: BaseException) -> str:
        """Return the message of a driver's error, shortened and without any bound value."""
        message = self.redact(self.code(error), self.message(error).strip()).partition("\n")[0]
        return message[:_MESSAGE_LENGTH] or type(error).__name__

    def cause_without_values(self, error: BaseException | None) -> BaseException | None:
        """Remove the bound values from an error, and return it, to be the cause of a StorageError.

        A driver's error keeps its class and code; its message and the messages of its causes are replaced. An OSError
        keeps its message. Other errors are dropped, because their messages may contain values. The tracebacks are
        dropped too: the local variables of their frames contain the password, or the parameters of a statement.
        """
        return self._without_values(error, [])

    def message(self, error: BaseException) -> str:
        """Return a driver's message, without its code, detail and hint."""
        return str(error.args[-1]) if error.args else ""

    def redact(self, code: str, message: str) -> str:
        """Return a message without bound values; if its code is unknown, the part before the first possible value."""
        known = (self.connection_codes, self.transient_codes, self.lock_timeout_codes, self.codes_without_values)
        return message if any(code in codes for codes in known) else before_values(message)

    def replace_message(self, error: BaseException, message: str) -> None:
        """Replace the message of a driver's error in place, and delete attributes that may contain values."""
        error.args = (message,)

    def _without_values(self, error: BaseException | None, seen: Collection[BaseException]) -> BaseException | None:
        if error is None or error in seen:
            return None
        if self.is_driver_error(error):
            self.replace_message(error, self.message_without_values(error))
        elif not isinstance(error, OSError):
            return None
        error.__traceback__ = None
        error.__cause__ = self._without_values(error.__cause__ or error.__context__, [*seen, error])
        error.__context__ = None
        return error

    # TLS.

    def tls_refusal(self, error: BaseException | None) -> str | None:
        """Return why TLS is not possible, or None if connecting failed for another reason."""
        seen: list[BaseException] = []
        while error is not None and error not in seen:
            reason = getattr(error, "reason", None)
            if self.says_no_tls(error) or reason == _ANSWERED_IN_PLAIN_TEXT:
                return f"{_TLS_REFUSED}: the server offers none"
            if isinstance(error, SSLCertVerificationError):
                return f"{_TLS_REFUSED}: {getattr(error, 'verify_message', reason)}"
            seen.append(error)
            error = error.__cause__
        return None

    def says_no_tls(self, error: BaseException) -> bool:
        """Return whether an error says that the server has no TLS."""
        del error
        return False


def before_values(message: str) -> str:
    """Return a message up to where its first value may begin: at a quotation mark, a bracket, a colon or a number."""
    value = _VALUE.search(message)
    return message if value is None else f"{message[: value.start()].rstrip()} …".lstrip()
