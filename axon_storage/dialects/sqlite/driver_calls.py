"""Single statements that aiosqlite's thread executes in one step."""

from collections.abc import Callable, Sequence
from typing import Any

from axon_storage.dialects.driver_calls import DriverCalls, Shield


class SQLiteDriverCalls(DriverCalls):
    """Calls of a connection of :mod:`axon_storage.dialects.aiosqlite_connection`."""

    sends_directly = True

    async def fetch(self, driver: Any, text: str, arguments: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return await driver.fetch(text, arguments)  # type: ignore[no-any-return]  # imported only when it is used

    async def execute(self, driver: Any, text: str, arguments: Sequence[Any]) -> int:
        return await driver.write(text, arguments)  # type: ignore[no-any-return]

    async def execute_in_transaction(
        self, driver: Any, text: str, arguments: Sequence[Any], commits: Callable[[], None], shield: Shield
    ) -> int:
        del shield
        return await driver.write_in_transaction(text, arguments, commits)  # type: ignore[no-any-return]

    def is_closed(self, driver: Any) -> bool:
        del driver
        return False  # a file is not lost as a server is
