"""Databases of a Citus cluster, which can only be given by ``AXON_TEST_CITUS_URL``: the URL of its coordinator."""

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from axon_storage import create_engine
from tests.accounts import run

SHARDS = 4


async def nodes(url: str) -> list[tuple[str, int, int]]:
    """Return the host, the port and the group of each node of a cluster; the coordinator is the first, with group 0."""
    query = "SELECT nodename, nodeport, groupid FROM pg_dist_node WHERE isactive ORDER BY groupid"
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return [(host, port, group) for host, port, group in await connection.execute(text(query))]
    finally:
        await engine.dispose()


async def create_database(url: str, name: str) -> list[tuple[str, str]]:
    """Create a database on each node of a cluster, make those a cluster, and return how to drop it on each node."""
    known, drops = await nodes(url), []
    for host, port, group in known:
        node = _node(url, host, port, group)
        await run(_text(node), [f"CREATE DATABASE {name}"])
        drops.append((_text(node), f"DROP DATABASE {name} WITH (FORCE)"))  # the daemon of the extension is connected
        await run(_text(node.set(database=name)), ["CREATE EXTENSION citus"])
    [(host, port, _), *workers] = known
    statements = [f"SELECT citus_set_coordinator_host('{host}', {port})"]
    statements += [f"SELECT citus_add_node('{worker}', {port})" for worker, port, _ in workers]
    await run(_text(make_url(url).set(database=name)), statements)
    return drops


def _node(url: str, host: str, port: int, group: int) -> URL:
    """Return the URL of a node. That of the coordinator is given: its own name of itself may be unknown here."""
    return make_url(url).set(host=host, port=port) if group else make_url(url)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
