"""Secret: bytes that no representation, pickle or copy shows."""

from typing import NoReturn


class Secret:
    """Bytes that ``repr``, ``str``, formats and pickles do not show, so that tracebacks with locals do not either."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes. Do not keep them in a variable."""
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied")
