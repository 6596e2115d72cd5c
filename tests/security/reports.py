"""What a report about an error can contain: its texts, its causes, and the local variables of its frames."""

import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "hunter2-marked"
"""A password. No text that the library shows contains it."""

_TESTS = str(Path(__file__).parents[1])


def chain(error: BaseException) -> list[BaseException]:
    """Return an error with all its causes and contexts, also those that ``from None`` hides."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else []
    return found


def texts(error: BaseException) -> Iterator[str]:
    """Yield the texts of an error and of its causes."""
    for each in chain(error):
        yield f"{each} {each!r} {each.args!r} {vars(each)!r} {getattr(each, '__notes__', '')}"
        yield "".join(traceback.format_exception(each))
    yield pickle.dumps(error).decode("latin-1")


def frames(error: BaseException) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the code and the local variables of the frames of an error and of its causes, without the tests' own."""
    for each in chain(error):
        for frame, _line in traceback.walk_tb(each.__traceback__):
            if not frame.f_code.co_filename.startswith(_TESTS):
                yield f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}", dict(frame.f_locals)


def local_variables(error: BaseException) -> Iterator[str]:
    """Yield the local variables of all frames as reports of errors show them: by their ``repr``."""
    for code, variables in frames(error):
        for name, value in variables.items():
            yield f"{code} {name} = {_repr(value)}"


def check_report(error: BaseException, *secrets: str) -> None:
    """Check that no text and no local variable of an error contains a secret."""
    for text in (*texts(error), *local_variables(error)):
        for secret in secrets:
            assert secret not in text, text[:2_000]


def check_frames(error: BaseException) -> None:
    """Check that no frame of an error or of its causes is one of SQLAlchemy or of a driver."""
    for code, _variables in frames(error):
        assert "site-packages" not in code or "sqlalchemy/util/" in code, code


def check_log(log: pytest.LogCaptureFixture, *secrets: str) -> None:
    """Check that no record of a log contains a secret, in its message, its arguments or its exception."""
    for record in log.records:
        shown = f"{record.getMessage()} {vars(record)!r}"
        for secret in secrets:
            assert secret not in shown, shown[:2_000]
        if record.exc_info and record.exc_info[1] is not None:
            check_report(record.exc_info[1], *secrets)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:
        return repr(error)
