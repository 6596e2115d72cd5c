"""Single statements that asyncpg sends itself."""

from collections.abc import Callable, Sequence
from typing import Any

from axon_storage.dialects.driver_calls import DriverCalls, Shield


class PostgreSQLDriverCalls(DriverCalls):
    """Calls of an ``asyncpg.Connection``."""

    sends_directly = True

    async def fetch(self, driver: Any, text: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return await driver.fetch(text, *arguments)  # type: ignore[no-any-return]  # asyncpg is untyped

    async def execute(self, driver: Any, text: str, arguments: Sequence[Any]) -> int:
        status = await driver.execute(text, *arguments)
        return int(status.rpartition(" ")[2])  # such as DELETE 5

    async def execute_in_transaction(
        self, driver: Any, text: str, arguments: Sequence[Any], commits: Callable[[], None], shield: Shield
    ) -> int:
        del shield
        await driver.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            count = await self.execute(driver, text, arguments)
            commits()
            await driver.execute("COMMIT")
        except Exception:
            if not driver.is_closed():
                await driver.execute("ROLLBACK")
            raise
        return count

    def is_closed(self, driver: Any) -> bool:
        return bool(driver.is_closed())
