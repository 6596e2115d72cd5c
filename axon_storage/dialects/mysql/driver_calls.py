"""Single statements that aiomysql and asyncmy send themselves."""

from collections.abc import Callable, Sequence
from typing import Any

from axon_storage.dialects.driver_calls import DriverCalls, Shield


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
