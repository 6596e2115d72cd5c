"""Run the Mirror with the strict layer, on PostgreSQL 15 or later, and faster than it comes."""

import socket
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from seerdb.common import sqltext
from seerdb.common.exceptions import Truncated
from seerdb.common.tns_consts import TNS_FUNC_REEXECUTE

_tokens: Callable[[str], Iterator[Any]] = sqltext.sql_tokens
# A pure function that is called many times for each statement. The backend imports it by name, so before that.
_remembered = lru_cache(512)(lambda sql: tuple(_tokens(sql)))
sqltext.sql_tokens = lambda sql: iter(_remembered(sql))

from seerdb.server import framing, launcher, session  # noqa: E402  # see above
from seerdb.server.backends import postgres  # noqa: E402  # see above

from tests.servers.oracle_double.strict import StrictBackend  # noqa: E402  # see above

_ARRIVED_SECONDS = 0.02
_HEADERS = 64
"""More bytes than the headers of a packet take; a packet whose body is longer than the rest is a full one."""

_IS_JSON = (
    "LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN IF {empty} THEN RETURN NULL; END IF; PERFORM {text}::json; RETURN true; "
    "EXCEPTION WHEN others THEN RETURN false; END $$;"
)


def _run_on_postgresql_15() -> None:
    """Replace ``IS JSON``, which PostgreSQL 15 lacks, and a setting that older versions of orafce lack."""
    helpers = postgres._HELPER_FUNCTIONS_DDL  # private, but the version is pinned
    for old, empty, text in (
        ("LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN $1 = '' THEN NULL ELSE $1 IS JSON END $$;",
         "$1 IS NULL OR $1 = ''", "$1"),
        ("LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN length($1) = 0 THEN NULL ELSE $1 IS JSON END $$;",
         "$1 IS NULL OR length($1) = 0", "convert_from($1,'UTF8')"),
    ):  # fmt: skip
        helpers = helpers.replace(old, _IS_JSON.format(empty=empty, text=text))
    postgres._HELPER_FUNCTIONS_DDL = helpers
    settings = postgres._ORAFCE_SESSION_SETTINGS
    postgres._ORAFCE_SESSION_SETTINGS = settings.replace(
        "SET orafce.oracle_compatibility_date_limit = off", "SET seerdb.orafce_date_limit = off"
    )


def _answer_at_once() -> None:
    """Set TCP_NODELAY: otherwise the end of an answer waits 40 ms for the client to acknowledge its beginning."""
    begin = framing.PacketStream.__init__

    def begin_at_once(stream: Any, connection: Any, *rest: Any, **options: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin(stream, connection, *rest, **options)

    framing.PacketStream.__init__ = begin_at_once


def _read_what_has_arrived() -> None:
    """Parse a long message when it is complete, not from its start after each packet of 8 kB."""
    read_packet = framing.PacketStream.read_packet

    def read(stream: Any, *, within: float | None = None) -> Any:
        received = read_packet(stream, within=within)
        if within is None or received is None:
            return received
        kind, body = received
        parts = [body]
        while len(parts[-1]) > stream.sdu - _HEADERS:  # the last packet of a message is shorter, or nothing follows it
            try:
                more = read_packet(stream, within=_ARRIVED_SECONDS)
            except TimeoutError:
                return kind, b"".join(parts)
            if more is None or more[0] != kind:
                raise ConnectionResetError("the client went away in the middle of a message")
            parts.append(more[1])
        return kind, b"".join(parts)

    framing.PacketStream.read_packet = read


def _wait_for_every_row() -> None:
    """Treat a repeated batch as complete when all its rows are there, not when a packet ends with a row."""
    parse = session.parse_reexecute

    def parse_whole(payload: bytes, **options: Any) -> Any:
        request = parse(payload, **options)
        rows_follow = options.get("bind_types") and not options.get("cached_plsql")
        if rows_follow and payload[1] == TNS_FUNC_REEXECUTE and len(request.bind_rows) < request.fetch:
            raise Truncated(f"{len(request.bind_rows)} of {request.fetch} rows")
        return request

    session.parse_reexecute = parse_whole


def _remember_translations() -> None:
    """Cache the translation of statements, which Python does word by word, in a dozen passes."""
    postgres._translate_idioms = lru_cache(512)(postgres._translate_idioms)


def _let_clients_define_empty_results() -> None:
    """Hold back the end of a result with LOBs even if it has no rows, so that the client says how it reads them.

    A client that learns at once that there are none never says so, and cannot read the rows of the next execution.
    """
    open_query, encode = session._Cursors.open_query, session.encode_query_response

    def open_held(cursors: Any, sql: str, bind_types: Any = (), columns: Any = ()) -> Any:
        if session._defers_inline_rows(columns):
            return cursors.open(list(columns), [], sql=sql, bind_types=bind_types)
        return open_query(cursors, sql, bind_types, columns)

    def encode_held(columns: Any, rows: Any, **options: Any) -> Any:
        return encode(columns, rows, **{**options, "more": options.get("more") or session._defers_inline_rows(columns)})

    session._Cursors.open_query, session.encode_query_response = open_held, encode_held


if __name__ == "__main__":
    _run_on_postgresql_15()
    _answer_at_once()
    _read_what_has_arrived()
    _wait_for_every_row()
    _remember_translations()
    _let_clients_define_empty_results()
    postgres._SQLSTATE_TO_ORA.update({"40P01": 60, "40001": 8177})  # deadlock, serialization
    postgres.PostgresBackend = StrictBackend
    launcher.main()
