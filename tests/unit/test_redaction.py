"""Messages and causes of drivers' errors keep names, and show no bound value."""

import sqlite3
import traceback
from types import ModuleType, SimpleNamespace

import aiomysql
import asyncpg
import oracledb
import pytest
from asyncmy import errors as asyncmy
from hypothesis import given
from hypothesis import strategies as st

from axon_storage.dialects import Dialect, of_scheme
from axon_storage.dialects.error_codes import mysql as codes_of_mysql
from axon_storage.dialects.error_codes import oracle as codes_of_oracle
from axon_storage.dialects.error_codes import postgresql as codes_of_postgresql
from axon_storage.dialects.error_codes import sqlite as codes_of_sqlite
from axon_storage.dialects.errors import before_values

MYSQL, POSTGRESQL, ORACLE, SQLITE = map(of_scheme, ("mysql", "postgresql", "oracle", "sqlite"))

SECRET = "a 'secret' of \"mine\""

# The messages are those of the servers and drivers.
WHOLE = [
    (2003, "Can't connect to MySQL server on '127.0.0.1'"),
    (2003, "Can't connect to MySQL server on '127.0.0.1' ([Errno 111] Connect call failed ('127.0.0.1', 1))"),
    (2003, "Can't connect to MySQL server on 'no-such-host.invalid' ([Errno -2] Name or service not known)"),
    (1045, "Access denied for user 'a_long_name_of_a_user'@'localhost.localdomain' (using password: YES)"),
    (1044, "Access denied for user 'app'@'127.0.0.1' to database 'mysql'"),
    (1049, "Unknown database 'nowhere_at_all_db'"),
    (1146, "Table 'axon_724e772d034e.nowhere' doesn't exist"),
    (1176, "Key 'ix_event_history_topic' doesn't exist in table 'event_history'"),
    (1091, "Can't DROP 'nothere'; check that column/key exists"),
    (1054, "Unknown column 'nothing' in 'field list'"),
    (1048, "Column 'name' cannot be null"),
    (1406, "Data too long for column 'name' at row 1"),
    (1264, "Out of range value for column 'id' at row 1"),
    (1142, "INSERT command denied to user 'app'@'localhost' for table `axon`.`traces`"),
    (1213, "Deadlock found when trying to get lock; try restarting transaction"),
    (3819, "Check constraint 'ck_len' is violated."),
    (4025, "CONSTRAINT `ck_len` failed for `axon_547e17ec6d6c`.`probe`"),
]

REDACTED = [
    (1062, f"Duplicate entry '{SECRET}' for key 'probe.uq_doc'", "Duplicate entry '…' for key 'probe.uq_doc'"),
    (1062, "Duplicate entry 'x\ny' for key 'PRIMARY'", "Duplicate entry '…' for key 'PRIMARY'"),
    (1062, f"Duplicate entry '{SECRET} and no end", "Duplicate entry …"),
    (
        1366,
        f"Incorrect integer value: '{SECRET}' for column 'num' at row 1",
        "Incorrect integer value: '…' for column 'num' at row 1",
    ),
    (
        1366,
        f"Incorrect integer value: '{SECRET}' for column `a`.`b`.`c` at row 1",
        "Incorrect integer value: '…' for column `a`.`b`.`c` at row 1",
    ),
    (1292, f"Truncated incorrect INTEGER value: '{SECRET}'", "Truncated incorrect INTEGER value: '…'"),
    (1064, f"You have an error in your SQL syntax; near '{SECRET}'", "You have an error in your SQL syntax; near …"),
    (1526, "Table has no partition for value 4711", "Table has no partition for value …"),
    (1690, f"BIGINT value is out of range in '({SECRET} - 1)'", "BIGINT value is out of range in …"),
    (1644, f"the trigger refuses {SECRET}", "an error that a trigger or a procedure has raised"),
]


@pytest.mark.parametrize("kind", [aiomysql.OperationalError, asyncmy.OperationalError])
@pytest.mark.parametrize(("number", "message"), WHOLE)
def test_a_message_of_mysql_without_values_is_shown_whole(kind: type[Exception], number: int, message: str) -> None:
    error = kind(number, message)
    assert MYSQL.message_without_values(error) == message
    assert MYSQL.cause_without_values(error) is error
    assert error.args == (number, message)


@pytest.mark.parametrize("kind", [aiomysql.OperationalError, asyncmy.OperationalError])
@pytest.mark.parametrize(("number", "message", "shown"), REDACTED)
def test_a_message_of_mysql_shows_no_value(kind: type[Exception], number: int, message: str, shown: str) -> None:
    error = kind(number, message)
    assert MYSQL.classify_error(error).message == shown
    assert MYSQL.cause_without_values(error) is error
    assert error.args == (number, shown)
    assert MYSQL.classify_error(error).message == shown  # a second time, as after a retry


def _postgresql(code: str, message: str, **fields: str) -> asyncpg.PostgresError:
    letters = {"detail": "D", "hint": "H", "context": "W", "internal_query": "q", "function": "R"}
    given = {letters[name]: text for name, text in fields.items()}
    error: asyncpg.PostgresError = asyncpg.PostgresError.new({"S": "ERROR", "C": code, "M": message, **given})
    return error


@pytest.mark.parametrize(
    ("code", "message", "shown"),
    [
        ("23505", 'duplicate key value violates unique constraint "uq_probe_doc"', None),
        ("23514", 'new row for relation "probe" violates check constraint "ck_len"', None),
        ("23502", 'null value in column "name" of relation "probe" violates not-null constraint', None),
        ("22001", "value too long for type character varying(20)", "value too long for type character varying …"),
        ("22P02", f'invalid input syntax for type integer: "{SECRET}"', "invalid input syntax for type integer …"),
        ("22003", f'value "{SECRET}" is out of range for type integer', "value …"),
        ("42P01", 'relation "a_relation_with_a_name_of_more_than_forty_characters" does not exist', None),
        ("28P01", 'password authentication failed for user "a_user_with_a_name_of_more_than_forty_characters"', None),
        ("P0001", f"the trigger refuses {SECRET}", "an error that a trigger or a function has raised"),
    ],
)
def test_an_error_of_postgresql_shows_no_value(code: str, message: str, shown: str | None) -> None:
    row = f"Failing row contains (4, a, {SECRET}, 200)."
    error = _postgresql(code, message, detail=row, hint=SECRET, context=SECRET, internal_query=SECRET)
    kind = type(error)
    error_class = POSTGRESQL.classify_error(error)
    assert (error_class.code, error_class.message) == (code, shown or message)
    assert POSTGRESQL.cause_without_values(error) is error
    assert type(error) is kind
    assert error.sqlstate == code
    assert str(error) == error_class.message
    assert SECRET not in f"{error!r} {vars(error)}"


def test_the_message_of_an_error_that_a_trigger_raises_is_not_shown() -> None:
    error = _postgresql("23514", f"the trigger refuses {SECRET}", function="exec_stmt_raise")
    assert POSTGRESQL.classify_error(error).message == "an error that a trigger or a function has raised"


def test_an_argument_that_asyncpg_refuses_is_not_shown() -> None:
    argument = "invalid input for query argument $3 in element #0 of executemany() sequence"
    error = asyncpg.DataError(f"{argument}: 4711 (expected str, got int)")
    error.__cause__ = TypeError("expected str, got '4711'")
    assert POSTGRESQL.classify_error(error).message == argument
    assert POSTGRESQL.cause_without_values(error) is error
    assert "4711" not in "".join(traceback.format_exception(error))
    closed = asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
    assert POSTGRESQL.classify_error(closed).message == closed.args[0]


@pytest.mark.parametrize(
    ("code", "message", "shown"),
    [
        ("ORA-00001", "unique constraint (AXON.UQ) violated on table AXON.PROBE columns (DOC)", None),
        ("ORA-12899", 'value too large for column "AXON"."PROBE"."NAME" (actual: 33, maximum: 20)', None),
        ("ORA-01400", 'cannot insert NULL into ("AXON"."PROBE"."NAME")', None),
        (
            "ORA-01722",
            f"unable to convert string value containing '{SECRET}'",
            "unable to convert string value containing …",
        ),
        ("ORA-01438", "value 4711 greater than specified precision (3, 0) for column", "value …"),
        ("ORA-20001", f"the trigger refuses {SECRET}", "an error that a trigger or a procedure has raised"),
    ],
)
def test_an_error_of_oracle_shows_no_value(code: str, message: str, shown: str | None) -> None:
    detail = f"\nORA-03301: ({code} details) row with column values (DOC:'{SECRET}') already exists\nHelp: https://x"
    error = oracledb.DatabaseError(SimpleNamespace(full_code=code, message=f"{code}: {message}{detail}"))
    assert ORACLE.classify_error(error).message == (shown or message)
    assert ORACLE.cause_without_values(error) is error
    assert error.args[0].full_code == code
    assert error.args[0].message == f"{code}: {shown or message}"


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("INSERT INTO t VALUES (1, 1)", "UNIQUE constraint failed: t.id"),
        ("INSERT INTO t VALUES (2, 200)", "CHECK constraint failed: ck_len"),
        ("INSERT INTO t VALUES (NULL, 1)", "NOT NULL constraint failed: t.id"),
        ("INSERT INTO t VALUES (4711, 1)", "an error that a trigger has raised"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT 4711x", "unrecognized token …"),
    ],
)
def test_an_error_of_sqlite_shows_no_value(statement: str, shown: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, n INT CONSTRAINT ck_len CHECK (n < 100));"
        "INSERT INTO t VALUES (1, 1);"
        "CREATE TRIGGER refuse BEFORE INSERT ON t WHEN NEW.id = 4711 BEGIN SELECT RAISE(ABORT, 'it is 4711'); END;"
    )
    with pytest.raises(sqlite3.Error) as refused:
        connection.execute(statement)
    connection.close()
    error = refused.value
    assert SQLITE.classify_error(error).message == shown
    number = error.sqlite_errorcode
    assert SQLITE.cause_without_values(error) is error
    assert (error.args, error.sqlite_errorcode) == ((shown,), number)


@pytest.mark.parametrize("dialect", [MYSQL, POSTGRESQL, ORACLE, SQLITE])
def test_of_an_errors_causes_only_those_of_driver_and_system_are_kept(dialect: Dialect) -> None:
    def chain(last: BaseException) -> BaseException:
        middle, error = (
            aiomysql.OperationalError(1064, f"near '{SECRET}'"),
            aiomysql.OperationalError(2003, "no server"),
        )
        error.__cause__, middle.__context__ = middle, last
        return error  # type: ignore[no-any-return]  # aiomysql is untyped

    cut = MYSQL.cause_without_values(chain(ValueError(SECRET)))
    kept = MYSQL.cause_without_values(chain(ConnectionRefusedError(111, "refused")))
    assert SECRET not in "".join(traceback.format_exception(cut))
    assert "ConnectionRefusedError" in "".join(traceback.format_exception(kept))
    assert dialect.cause_without_values(ValueError(SECRET)) is None
    assert dialect.cause_without_values(None) is None


def test_a_circular_chain_of_causes_is_cut() -> None:
    first, second = aiomysql.OperationalError(1064, SECRET), aiomysql.OperationalError(1064, SECRET)
    first.__context__, second.__context__ = second, first
    assert SECRET not in "".join(traceback.format_exception(MYSQL.cause_without_values(first)))


@pytest.mark.parametrize("module", [codes_of_mysql, codes_of_oracle, codes_of_postgresql, codes_of_sqlite])
def test_a_code_is_in_one_group(module: ModuleType) -> None:
    groups = ["PASSING", "PERMANENT", "RETRYABLE", "WITHOUT_VALUES"]
    codes = [code for group in groups for code in getattr(module, group, {})]
    assert len(codes) == len(set(codes))


@given(st.text(), st.text("abc "))
def test_text_after_a_quotation_mark_is_not_shown(value: str, words: str) -> None:
    assert before_values(f"{words} '{value}'").removesuffix("…").strip() == words.strip()


@pytest.mark.parametrize(
    ("message", "transient"),
    [
        ('database "nowhere" does not exist', False),
        ("password authentication failed", False),
        ("no such user: nobody", False),
        ("no such database: nowhere", False),
        ("unsupported startup parameter: search_path", False),
        ("no more connections allowed (max_client_conn)", True),
        ("query_wait_timeout", True),
        ("server conn crashed?", True),
        ("server login has been failing, try again later (server_login_retry)", True),
    ],
)
def test_only_transient_errors_of_pgbouncer_are_retried(message: str, transient: bool) -> None:
    error_class = POSTGRESQL.classify_error(_postgresql("08P01", message))
    assert error_class == ("08P01", message, True, transient)


@pytest.mark.parametrize(("code", "text"), [("26000", "does not exist"), ("42P05", "already exists")])
def test_a_lost_prepared_statement_names_the_parameters_that_a_pooler_needs(code: str, text: str) -> None:
    message = POSTGRESQL.classify_error(_postgresql(code, f'prepared statement "__asyncpg_stmt_1__" {text}')).message
    assert message.startswith(f'prepared statement "__asyncpg_stmt_1__" {text}: ')
    assert "statement_cache_size=0&prepared_statement_cache_size=0" in message
