"""What the dialect of Citus sends, as far as it can be seen without a server."""

from importlib import import_module
from typing import Any

import pytest

from axon_storage.dialects.postgresql.citus import Citus

INSERT = "INSERT INTO t (tenant_id, key) VALUES ($1::VARCHAR, $2::VARCHAR) ON CONFLICT (tenant_id, key) DO "


class Cursor:
    """A driver's cursor that keeps what it is asked to run. The text is what the test is about."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, tuple[Any, ...]]] = []

    def execute(self, statement: str, parameters: tuple[Any, ...]) -> None:
        self.sent.append((statement, parameters))


def sent(statement: str, count: int) -> list[tuple[str, tuple[Any, ...]]]:
    cursor = Cursor()
    assert Citus().executemany(cursor, statement, [("acme", str(number)) for number in range(count)])
    return cursor.sent


def test_a_batch_is_a_list_of_values() -> None:
    [(statement, parameters)] = sent(INSERT + "NOTHING", 2)
    assert (
        statement
        == INSERT.replace(")  ON", ") ON").replace(
            "($1::VARCHAR, $2::VARCHAR)", "($1::VARCHAR, $2::VARCHAR), ($3::VARCHAR, $4::VARCHAR)"
        )
        + "NOTHING"
    )
    assert parameters == ("acme", "0", "acme", "1")


@pytest.mark.parametrize("what", ["NOTHING", "UPDATE SET key = excluded.key"])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33, 127, 128, 129, 999, 1000])
def test_every_row_of_a_batch_is_sent_and_no_key_is_sent_twice_in_an_upsert(what: str, count: int) -> None:
    keys = [parameters[1::2] for _statement, parameters in sent(INSERT + what, count)]
    assert list(dict.fromkeys(key for part in keys for key in part)) == [str(number) for number in range(count)]
    if what != "NOTHING":
        assert sum(map(len, keys)) == count


def test_batches_of_all_sizes_are_few_different_statements() -> None:
    several = {statement for count in range(1, 1001) for statement, _ in sent(INSERT + "NOTHING", count)}
    assert len(several) <= 40


def test_an_append_of_at_most_128_rows_is_one_statement() -> None:
    assert all(len(sent(INSERT + "NOTHING", count)) == 1 for count in range(1, 129))
    assert Citus().is_one_statement([{}] * 128)
    assert not Citus().is_one_statement([{}] * 129)


def test_another_batch_is_left_to_the_driver() -> None:
    assert not Citus().executemany(Cursor(), "DELETE FROM t WHERE tenant_id = $1::VARCHAR", [("acme",), ("umbrella",)])


@pytest.mark.parametrize(
    ("code", "message", "is_transient"),
    [
        ("XX000", "could not commit transaction for shard 102008 on at least one active node", True),
        ("XX000", "failure on connection marked as essential: 10.0.0.2:5432", True),
        ("XX000", "could not find valid entry for shard 102008", True),
        ("XX000", "SSL SYSCALL error: EOF detected", True),
        ("XX000", "server closed the connection unexpectedly", True),
        ("XX000", "could not receive data from server: Connection reset by peer", True),
        ("XX000", "cache lookup failed for relation 4711", False),
        ("08006", "connection to the remote node app@10.0.0.2:5432 failed", True),
        ("0A000", "cached plan must not change result type", True),
        ("0A000", "recursive CTEs are only supported when they contain a filter on the distribution column", False),
    ],
)
def test_what_a_lost_node_or_a_moved_shard_causes_is_transient(code: str, message: str, *, is_transient: bool) -> None:
    kind: Any = import_module("asyncpg.exceptions").PostgresError
    error = kind(message)
    error.sqlstate = code
    found = Citus().classify_error(error)
    assert found.transient is is_transient
    assert found.connection is (is_transient and code != "0A000")
