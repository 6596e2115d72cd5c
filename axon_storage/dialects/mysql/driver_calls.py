"""Single statements that aiomysql and asyncmy send themselves, and whether their connection is lost."""

import select
from collections.abc import Callable, Sequence
from typing import Any

from axon_storage.dialects.driver_calls import DriverCalls, Shield

# Only Linux has it. On other systems the next statement finds that a connection is lost.
_HUNG_UP = getattr(select, "POLLRDHUP", None)


class MySQLDriverCalls(DriverCalls):
    """Calls of a connection of aiomysql or asyncmy. It is not in autocommit mode: a statement begins a transaction."""

    sends_directly = True

    async def fetch(self, driver: Any, text: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        try:
            async with driver.cursor() as cursor:
                await cursor.execute(text, arguments)
                rows: Sequence[Sequence[Any]] = await cursor.fetchall()
            await driver.commit()
        except Exception:
            await self._roll_back(driver)
            raise
        return rows

    async def execute_in_transaction(
        self, driver: Any, text: str, arguments: Sequence[Any], commits: Callable[[], None], shield: Shield
    ) -> int:
        try:
            async with driver.cursor() as cursor:
                await cursor.execute(text, arguments)
                count = int(cursor.rowcount)
            commits()
            await shield(driver.commit())
        except Exception:
            await self._roll_back(driver)
            raise
        return count

    def is_closed(self, driver: Any) -> bool:
        # asyncmy has one of these attributes, aiomysql the other
        return bool(driver.closed) if hasattr(driver, "closed") else not driver.connected

    async def _roll_back(self, driver: Any) -> None:
        if not self.is_closed(driver):
            try:
                await driver.rollback()
            except Exception:
                driver.close()


def is_hung_up(driver: Any) -> bool:
    """Return whether the server has closed its side of a driver's connection, as the operating system reports it.

    The drivers notice it only when they read the next answer. asyncio does not notice it while the server's last
    message (4031, the connection was idle for too long) is unread.
    """
    # Private attributes: neither driver has a public one for its socket, and a ping would cost a round trip.
    transport: Any
    if hasattr(driver, "_transport"):  # asyncmy
        transport = driver._transport
    else:
        transport = None if driver._writer is None else driver._writer.transport
    if transport is None or transport.is_closing():
        return True
    if _HUNG_UP is None:
        return False
    watch = select.poll()
    watch.register(transport.get_extra_info("socket"), _HUNG_UP)
    return bool(watch.poll(0))
