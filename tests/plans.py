"""The cost of a statement, by the database's EXPLAIN: whether it sorts, and how many rows it reads."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement


class Cost(NamedTuple):
    """Whether rows were sorted, how many rows (or index entries) were read, and the plan for error messages."""

    sorts: bool
    touched: int
    plan: str


class Explain(Executable, ClauseElement):
    """EXPLAIN of a statement, built as SQLAlchemy's documentation shows."""

    inherit_cache = False

    def __init__(self, prefix: str, statement: Any) -> None:
        self.prefix, self.statement = prefix, statement


@compiles(Explain)
def _explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"{element.prefix} {compiler.process(element.statement, **options)}"


async def cost(connection: AsyncConnection, statement: Any, parameters: dict[str, Any]) -> Cost:
    """Run a statement in the connection's transaction, and return its cost."""
    return await _COSTS[connection.dialect.name](connection, statement, parameters)


async def _postgresql(connection: AsyncConnection, statement: Any, parameters: dict[str, Any]) -> Cost:
    explain = Explain("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)", statement)
    [answer] = (await connection.execute(explain, parameters)).scalar_one()
    nodes = list(_nodes(answer["Plan"]))
    touched = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in nodes
        if "Relation Name" in node and node["Node Type"] != "ModifyTable"
    )
    return Cost(any("Sort" in node["Node Type"] for node in nodes), int(touched), json.dumps(answer["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
    for task in plan.get("Distributed Query", {}).get("Job", {}).get("Tasks", []):  # Citus: the plan of a node
        for [answer] in task["Remote Plan"]:
            yield from _nodes(answer["Plan"])


async def _mysql(connection: AsyncConnection, statement: Any, parameters: dict[str, Any]) -> Cost:
    plan = (await connection.execute(Explain("EXPLAIN FORMAT=JSON", statement), parameters)).scalar_one()
    before = await _counters(connection)
    await connection.execute(statement, parameters)
    after = await _counters(connection)
    grown = {name: after[name] - before[name] for name in after}
    sorts = "filesort" in plan or grown["Sort_rows"] > 0
    return Cost(sorts, sum(count for name, count in grown.items() if name.startswith("Handler_read")), plan)


async def _counters(connection: AsyncConnection) -> dict[str, int]:
    found = await connection.execute(text("SHOW SESSION STATUS WHERE Variable_name REGEXP '^(Handler_read|Sort_rows)'"))
    return {name: int(value) for name, value in found.all()}


async def _sqlite(connection: AsyncConnection, statement: Any, parameters: dict[str, Any]) -> Cost:
    explain = Explain("EXPLAIN QUERY PLAN", statement)
    # from the driver's cursor: the columns of a plan do not have the types of the statement's columns
    steps = await connection.run_sync(lambda inner: inner.execute(explain, parameters).cursor.fetchall())
    plan = "\n".join(str(step[-1]) for step in steps)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    instructions = 0

    def count() -> None:
        nonlocal instructions
        instructions += 1

    await driver.set_progress_handler(count, 1)
    result = await connection.execute(statement, parameters)
    columns = len(result.keys()) if result.returns_rows else 1
    result.close()
    await driver.set_progress_handler(None, 1)
    scans = bool(re.search(r"\bSCAN (?!found_|CONSTANT)", plan))  # of a table; found_ is a recursive CTE
    # SQLite does not count rows; its virtual machine runs one instruction per column and about ten more per row
    touched = 10**9 if scans else instructions // (columns + 10)
    return Cost("TEMP B-TREE" in plan, touched, plan)


_COSTS: dict[str, Callable[[AsyncConnection, Any, dict[str, Any]], Awaitable[Cost]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}
