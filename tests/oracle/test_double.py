"""The double's strict layer: it accepts what Oracle accepts, and refuses what Oracle refuses, with Oracle's code."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from axon_storage import create_engine
from tests.databases import Databases

RELAXED = "oracle-double-23ai"

TAKEN = [
    "SELECT 1 FROM dual",
    "SELECT id, name FROM t WHERE name = 'it''s ON CONFLICT, LIMIT 1' ORDER BY id FETCH FIRST 3 ROWS ONLY",
    "SELECT id FROM t ORDER BY id DESC OFFSET 1 ROWS FETCH NEXT 3 ROWS ONLY",
    "SELECT x.id FROM t x JOIN t y ON x.id = y.id",
    "SELECT id AS number_of_it FROM t -- LIMIT 1",
    "SELECT min(id) AS first FROM t UNION ALL SELECT max(id) AS first FROM t",
    'SELECT id AS "LIMIT" FROM t',
    "SELECT id FROM t WHERE name IS NULL AND id IN (SELECT id FROM t)",
    f"SELECT id FROM t WHERE id IN ({', '.join(['1'] * 1000)})",
    "SELECT CAST(NULL AS VARCHAR2(10 CHAR)) AS name FROM dual",
    "INSERT INTO t (id, name, document) VALUES (1, 'one', 'a text')",
    "UPDATE t SET name = 'two' WHERE id = 1",
    "UPDATE t SET name = (SELECT max(name) FROM t2 WHERE t2.id = t.id) WHERE id = 1",
    "DELETE FROM t WHERE id = 2",
    "MERGE INTO t USING (SELECT 1 AS id, 'x' AS name FROM dual) s ON (t.id = s.id) "
    "WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)",
    "MERGE INTO t USING (SELECT 9 AS id FROM dual) s ON (t.id = s.id) "
    "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, 'nine')",
    "SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT",
    "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY",
    "CREATE TABLE taken (a NUMBER(19, 0) NOT NULL, b VARCHAR2(4000 BYTE), c CLOB, d TIMESTAMP(6), e BINARY_DOUBLE, "
    "f CHAR(32), CONSTRAINT pk_taken PRIMARY KEY (a))",
    "CREATE INDEX ix_taken ON taken (b, a) ONLINE",
    "ALTER TABLE taken ADD (g NUMBER(1))",
    "DROP INDEX ix_taken",
    "DROP TABLE taken",
    "BEGIN NULL; END;",
]


class Refused(NamedTuple):
    """A statement, the code of Oracle's error, and whether 23ai accepts the statement."""

    sql: str
    number: int
    until_23ai: bool = False


REFUSED = [
    Refused("SELECT id FROM t LIMIT 1", 933),
    Refused("SELECT id FROM t ORDER BY id OFFSET 1", 933),
    Refused("SELECT x.id FROM t AS x", 933),
    Refused("INSERT INTO t (id) VALUES (1) ON CONFLICT DO NOTHING", 933),
    Refused("INSERT INTO t (id) VALUES (1) ON DUPLICATE KEY UPDATE id = id", 933),
    Refused("INSERT INTO t (id, name) VALUES (21, 'a'), (22, 'b')", 933, until_23ai=True),
    Refused("UPDATE t SET name = u.name FROM t2 u WHERE u.id = t.id", 933, until_23ai=True),
    Refused("DELETE FROM t USING t2 WHERE t.id = t2.id", 933),
    Refused("DELETE FROM t;", 933),
    Refused("DROP TABLE IF EXISTS nowhere", 933, until_23ai=True),
    Refused("DROP TABLE t CASCADE", 905),
    Refused("INSERT INTO t (id) VALUES (1) RETURNING id", 925),
    Refused("SELECT 1", 923, until_23ai=True),
    Refused("CREATE TABLE IF NOT EXISTS spare (a NUMBER(1))", 922, until_23ai=True),
    Refused("SELECT id FROM t WHERE name ILIKE 'a%'", 920),
    Refused("SELECT `id` FROM t", 911),
    Refused("SELECT id FROM t WHERE (id = 1) IS TRUE", 908, until_23ai=True),
    Refused("SELECT CASE WHEN id = 1 THEN TRUE ELSE FALSE END FROM t", 904, until_23ai=True),
    Refused("SELECT NOW() FROM dual", 904),
    Refused("SELECT no_such_column FROM t", 904),
    Refused("CREATE TABLE bad (a BIGINT)", 902),
    Refused("CREATE TABLE bad (a TEXT)", 902),
    Refused("CREATE TABLE bad (a JSONB)", 902),
    Refused("CREATE TABLE bad (id NUMBER(1), a TIMESTAMPTZ)", 902),
    Refused("CREATE TABLE bad (a NUMBER(10) AUTO_INCREMENT)", 907),
    Refused("CREATE TABLE bad (a VARCHAR2)", 906),
    Refused("CREATE TABLE bad (a VARCHAR2(4001))", 910),
    Refused("CREATE TABLE bad (a NUMBER(39))", 1727),
    Refused("CREATE TABLE comment (a NUMBER(1))", 903),
    Refused("CREATE TABLE bad (level NUMBER(1))", 904),
    Refused("CREATE TABLE bad (a NUMBER(1), date CHAR(1))", 904),
    Refused(f"CREATE TABLE bad (a NUMBER(1), {'c' * 129} CHAR(1))", 972),
    Refused("CREATE INDEX CONCURRENTLY ix_bad ON t (name)", 969),
    Refused("CREATE INDEX ix_bad ON t USING btree (name)", 906),
    Refused(f"SELECT id FROM t WHERE id IN ({', '.join(['1'] * 1001)})", 1795, until_23ai=True),
    Refused("SELECT id FROM nowhere", 942),
    Refused(
        "MERGE INTO t USING (SELECT 1 AS id FROM dual) s ON (t.id = s.id) WHEN MATCHED THEN UPDATE SET t.id = s.id",
        38104,
    ),
]


@pytest.fixture(params=["oracle-double-12.1", "oracle-double-23ai"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def connection(databases: Databases, target: str) -> AsyncIterator[AsyncConnection]:
    """A connection to a schema with the tables of the statements."""
    engine = create_engine(await databases.empty(target))
    async with engine.connect() as opened:
        for table in ("t", "t2"):
            columns = "id NUMBER(10) PRIMARY KEY, name VARCHAR2(100 CHAR), document CLOB"
            await opened.exec_driver_sql(f"CREATE TABLE {table} ({columns})")
        yield opened
    await engine.dispose()


async def _code(connection: AsyncConnection, sql: str) -> str | None:
    """Run a statement; return the code of its error, or None."""
    try:
        await connection.exec_driver_sql(sql)
    except DBAPIError as error:
        driver: Any = error.orig
        return str(driver.args[0].full_code)
    finally:
        await connection.rollback()
    return None


async def test_what_oracle_accepts_is_accepted(connection: AsyncConnection) -> None:
    for sql in TAKEN:
        assert await _code(connection, sql) is None, sql


async def test_what_oracle_refuses_is_refused_with_its_code(connection: AsyncConnection, target: str) -> None:
    for sql, number, until_23ai in REFUSED:
        code, expected = await _code(connection, sql), f"ORA-{number:05}"
        if until_23ai and target == RELAXED:
            assert code != expected, sql  # PostgreSQL may lack what 23ai has
        else:
            assert code == expected, sql


async def test_names_grew_longer_after_12_1(connection: AsyncConnection, target: str) -> None:
    for length in (31, 128):
        sql = f"CREATE TABLE {'n' * length} (a NUMBER(1))"
        assert await _code(connection, sql) == (None if target == RELAXED else "ORA-00972")


async def test_the_empty_string_is_null(connection: AsyncConnection) -> None:
    def ask(inner: Connection) -> list[Any]:
        inner.exec_driver_sql("INSERT INTO t (id, name) VALUES (1, '')")
        inner.exec_driver_sql("INSERT INTO t (id, name) VALUES (2, :1)", ("",))
        found = inner.exec_driver_sql("SELECT count(*) FROM t WHERE name IS NULL AND '' IS NULL").scalar()
        return [found, inner.exec_driver_sql("SELECT count(*) FROM t WHERE name = ''").scalar()]

    assert await connection.run_sync(ask) == [2, 0]
