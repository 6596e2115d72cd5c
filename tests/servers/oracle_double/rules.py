"""Rules for what Oracle refuses and PostgreSQL accepts: patterns of statements, each with the code of Oracle's error.

Oracle's messages and limits are those of its Database Error Messages and SQL Language Reference.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from seerdb.common.sqltext import sql_tokens

from tests.servers.oracle_double.reserved import RESERVED

Release = tuple[int, int]

_LONG_NAMES: Release = (12, 2)
_RELAXED: Release = (23, 0)
"""The first release that accepts VALUES of many rows, SELECT without FROM, IF EXISTS, BOOLEAN and longer lists."""

_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "SUPPLEMENTAL"})


class RefusedError(Exception):
    """A statement that Oracle refuses, with the code of its error."""

    def __init__(self, number: int, message: str) -> None:
        self.number = number
        super().__init__(message)


class _Rule(NamedTuple):
    number: int
    message: str
    pattern: re.Pattern[str]
    until: Release = (99, 0)
    """The first release that accepts it."""


def _rule(number: int, message: str, pattern: str, until: Release = (99, 0)) -> _Rule:
    return _Rule(number, message, re.compile(pattern, re.DOTALL), until)


# Patterns match the text that _plain makes: words in capitals, strings as 's', one space for any white space.
_TYPES = r"(?:BIG|SMALL)?SERIAL|JSONB|TEXT|BYTEA|TIMESTAMPTZ|BIGINT|TINYINT|DATETIME|LONGTEXT|DOUBLE(?! PRECISION)"
_NOT_ENDED = "SQL command not properly ended"
_RULES = (
    _rule(933, _NOT_ENDED, r"\bLIMIT ?[:\d]"),
    _rule(933, _NOT_ENDED, r"\bOFFSET ?(?::\w+|\d+) ?(?:$|\))"),
    _rule(933, _NOT_ENDED, r"\bON (?:CONFLICT|DUPLICATE)\b"),
    _rule(933, _NOT_ENDED, r"\b(?:FROM|JOIN) [\w$#.]+ AS \w"),
    _rule(933, _NOT_ENDED, r"\bVALUES ?\([^()]*\) ?,", _RELAXED),
    _rule(933, _NOT_ENDED, r"^UPDATE\b[^()]*\bSET\b(?:[^()]|\([^()]*\))* FROM [\w$#.]+", _RELAXED),
    _rule(933, _NOT_ENDED, r"^DELETE\b.* USING\b"),
    _rule(933, _NOT_ENDED, r"^(?!BEGIN|DECLARE|CREATE (?:OR REPLACE )?(?:FUNC|PROC|TRIG|PACK|TYPE)).*; ?$"),
    _rule(923, "FROM keyword not found where expected", r"^SELECT (?!.*\bFROM\b)", _RELAXED),
    _rule(920, "invalid relational operator", r"\bI?LIKE ANY\b|\bILIKE\b"),
    _rule(911, "invalid character", r"`"),
    _rule(908, "missing NULL keyword", r"\bIS (?:NOT )?(?:[01]\b|TRUE\b|FALSE\b)", _RELAXED),
    _rule(904, "invalid identifier", r"(?<![.\w])(?:TRUE|FALSE)\b", _RELAXED),
    _rule(904, "invalid identifier", r"\bNOW ?\("),
    _rule(902, "invalid datatype", rf"^(?:CREATE|ALTER) TABLE\b.*[(,] ?\w+ (?:{_TYPES})\b"),
    _rule(902, "invalid datatype", r"^(?:CREATE|ALTER) TABLE\b.*[(,] ?\w+ BOOLEAN\b", _RELAXED),
    _rule(907, "missing right parenthesis", r"^CREATE TABLE\b.*\bAUTO_?INCREMENT\b"),
    _rule(922, "missing or invalid option", r"^CREATE TABLE IF NOT EXISTS\b", _RELAXED),
    _rule(933, _NOT_ENDED, r"^DROP TABLE IF EXISTS\b", _RELAXED),
    _rule(905, "missing keyword", r"^DROP TABLE\b.*\bCASCADE ?$"),
    _rule(969, "missing ON keyword", r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY\b"),
    _rule(906, "missing left parenthesis", r"^CREATE (?:UNIQUE )?INDEX \w+ ON \w+ USING\b"),
    _rule(925, "missing INTO keyword", r"\bRETURNING (?!.*\bINTO\b)"),
    _rule(906, "missing left parenthesis", r"^CREATE TABLE\b.*\bVARCHAR2? ?[,)]|^CREATE TABLE\b.*\bVARCHAR2? NO"),
)


def check(sql: str, release: Release) -> None:
    """Raise :class:`RefusedError` for a statement that this release of Oracle refuses."""
    plain = _plain(sql)
    for rule in _RULES:
        if release < rule.until and rule.pattern.search(plain):
            raise RefusedError(rule.number, rule.message)
    _check_names(sql, release)
    _check_lists(plain, release)
    if plain.startswith("CREATE TABLE"):
        _check_columns(plain)
    if plain.startswith("MERGE"):
        _check_merge(plain)


def for_postgresql(sql: str) -> str:
    """Return the statement with NULL for ``''``, as Oracle reads it, and without ONLINE, which PostgreSQL lacks."""
    read = "".join("NULL" if text == "''" else text for _, text in _spans(sql))
    return re.sub(r"(?i)\sONLINE\s*$", "", read) if _plain(sql).startswith(("CREATE INDEX", "CREATE UNIQUE")) else read


def _spans(sql: str) -> Iterator[tuple[str, str]]:
    for token in sql_tokens(sql):
        yield token.kind, sql[token.start : token.end]


def _plain(sql: str) -> str:
    parts = []
    for kind, text in _spans(sql):
        if kind in {"space", "comment"}:
            parts.append(" ")
        elif kind == "string":
            parts.append("'s'")
        else:
            parts.append(text if kind in {"bind", "identifier"} else text.upper())
    return " ".join("".join(parts).split())


def _check_names(sql: str, release: Release) -> None:
    longest = 128 if release >= _LONG_NAMES else 30
    for kind, text in _spans(sql):
        if kind in {"word", "identifier", "bind"} and len(text.strip(':"').encode()) > longest:
            raise RefusedError(972, f"identifier is too long, the limit is {longest} bytes")


def _check_lists(plain: str, release: Release) -> None:
    longest = 65_535 if release >= _RELAXED else 1_000
    for start in re.finditer(r"\bIN ?\(", plain):
        if sum(1 for _ in _items(plain, start.end())) > longest:
            raise RefusedError(1795, f"maximum number of expressions in a list is {longest}")


def _check_columns(plain: str) -> None:
    name, body = plain.removeprefix("CREATE TABLE ").partition("(")[::2]
    if name.strip() in RESERVED:
        raise RefusedError(903, "invalid table name")
    for item in _items(plain, len(plain) - len(body)):
        column = item.split(maxsplit=1)[0] if item else ""
        if column in RESERVED - _CONSTRAINTS:
            raise RefusedError(904, f"{column}: invalid identifier")
    for size in re.findall(r"\bN?VARCHAR2? ?\( ?(\d+)", plain):
        if int(size) > 4000:
            raise RefusedError(910, "specified length too long for its datatype")
    for digits in re.findall(r"\bNUMBER ?\( ?(\d+)", plain):
        if not 1 <= int(digits) <= 38:
            raise RefusedError(1727, "numeric precision specifier is out of range (1 to 38)")


def _check_merge(plain: str) -> None:
    """Refuse a MERGE that updates a column it joins on, which PostgreSQL accepts."""
    found = re.search(r"\bON \((.*?)\) WHEN\b", plain)
    joined: set[Any] = set(re.findall(r"(?<![:.\w])(\w+\.\w+)", found.group(1))) if found else set()
    for sets in re.findall(r"\bUPDATE SET (.*?)(?= WHEN\b|$)", plain):
        for item in _items(sets + ")", 0):
            if item.partition("=")[0].strip() in joined:
                raise RefusedError(38104, "Columns referenced in the ON Clause cannot be updated")


def _items(text: str, start: int) -> Iterator[str]:
    """Split the text from ``start`` to the closing parenthesis at its commas."""
    depth, begin = 1, start
    for position in range(start, len(text)):
        depth += (text[position] == "(") - (text[position] == ")")
        if depth == 0 or (depth == 1 and text[position] == ","):
            yield text[begin:position].strip()
            begin = position + 1
        if depth == 0:
            return
