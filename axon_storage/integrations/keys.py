"""Keys for the names of other packages: any text, of any length, becomes part of a scope or a key.

A scope or a key consists of parts with a space between them. Rules:

1. A part is the text itself, except for the characters up to ``!`` and those from U+D7FF to U+DFFF. Each of these
   becomes two characters: ``!`` or U+D7FF, and one that says which. So a part has no space, no U+0000 and no lone
   surrogate, and can be read back.
2. Parts sort as their texts do, and a space sorts before every character of a part. So the keys that begin with some
   parts are one range, in which the shortest key comes first.
3. A part that is too long is cut, and gets ``!!`` and the SHA-256 of its text. No other part contains ``!!``. The text
   is then stored in a value: that of a scope's name in the row with the key ``NAME``, which is deleted with the scope.
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from axon_storage.backend import StorageBackend
from axon_storage.model.rows import SessionRow

SEPARATOR = " "
NAME = "!name"
"""The key of the row that has the full name of its scope. No part is equal to it."""

MAX_LENGTH = 255
"""The number of characters of a scope and of a key."""

_ESCAPED = re.compile("[\0-!\ud7ff-\udfff]")
_ESCAPE = re.compile("([!\ud7ff])(.)", re.DOTALL)
_FIRST = {"!": 0, "\ud7ff": 0xD7FF}
_SHIFT = ord("!") + 1
_CUT = "!!"


def escape(text: str) -> str:
    """Return a text without the characters that a part cannot have. It sorts as the text does."""
    return _ESCAPED.sub(_escape, text)


def unescape(escaped: str) -> str:
    """Return the text that was escaped."""
    return _ESCAPE.sub(lambda match: chr(ord(match[2]) - _SHIFT + _FIRST[match[1]]), escaped)


def part(text: str, limit: int) -> str:
    """Return a part of at most ``limit`` characters, which must be at least 45."""
    escaped = escape(text)
    if len(escaped) <= limit:
        return escaped
    digest = urlsafe_b64encode(sha256(text.encode("utf-8", "surrogatepass")).digest()).decode().rstrip("=")
    return f"{escaped[: limit - len(_CUT) - len(digest)]}{_CUT}{digest}"


def text_of(part: str) -> str | None:
    """Return the text of a part, or None if the part was cut."""
    return None if _CUT in part else unescape(part)


def after(prefix: str) -> str:
    """Return the end of the range of keys that begin with ``prefix`` and a space."""
    return f"{prefix}!"


def end_of(beginning: str) -> str | None:
    """Return the end of the range of all texts with this beginning; None if there is no larger text."""
    rest = beginning.rstrip("\U0010ffff")
    if not rest:
        return None
    following = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if following == 0xD800 else following)


def scope_of(kind: str, name: str) -> str:
    """Return the scope of a name. ``kind``: a word that no other kind of scope begins with."""
    return f"{kind}{SEPARATOR}{part(name, MAX_LENGTH - len(kind) - len(SEPARATOR))}"


def name_rows(scope: str, name: str) -> list[SessionRow]:
    """Return the rows to save with the other rows of a scope, so that :func:`name_of` can return its name."""
    if _CUT not in scope:
        return []
    return [SessionRow(scope=scope, key=NAME, value=escape(name), source_step="")]


async def name_of(storage: StorageBackend, scope: str) -> str | None:
    """Return the name of a scope, or None if its rows were deleted meanwhile."""
    if (text := text_of(scope.partition(SEPARATOR)[2])) is not None:
        return text
    row = await storage.get_session(scope, NAME)
    return None if row is None else unescape(row.value)


def _escape(match: re.Match[str]) -> str:
    escape = "!" if match[0] <= "!" else "\ud7ff"
    return f"{escape}{chr(ord(match[0]) + _SHIFT - _FIRST[escape])}"
