"""The methods of a storage for rows that have a name: daemons, stores, dataspaces, hibernated agents, schedules."""

from axon_storage.backend.calls import RequestMethods
from axon_storage.model.rows import AxonStoreRow, DaemonRow, DataspaceRow, HibernationRow, ScheduleRow


class NamedRowMethods(RequestMethods):
    """Methods that save, read and delete rows with a name."""

    # Daemons.

    async def save_daemon(self, daemon: DaemonRow) -> None:
        """Store a daemon, or replace the one with the same name."""
        await self._save("save_daemon", DaemonRow, [daemon])

    async def load_daemons(self) -> list[DaemonRow]:
        """Return all daemons, ordered by name."""
        return await self._list_by_key("load_daemons", DaemonRow)

    async def get_daemon(self, name: str) -> DaemonRow | None:
        """Return one daemon, or None."""
        return await self._get("get_daemon", DaemonRow, name)

    async def delete_daemon(self, name: str) -> bool:
        """Delete a daemon, and return whether it existed."""
        return await self._delete("delete_daemon", DaemonRow, last=[name]) > 0

    # Stores.

    async def save_axon_store(self, store: AxonStoreRow) -> None:
        """Save a store, or replace the one with the same name."""
        await self._save("save_axon_store", AxonStoreRow, [store])

    async def load_axon_stores(self) -> list[AxonStoreRow]:
        """Return all stores, ordered by name."""
        return await self._list_by_key("load_axon_stores", AxonStoreRow)

    async def get_axon_store(self, name: str) -> AxonStoreRow | None:
        """Return one store, or None."""
        return await self._get("get_axon_store", AxonStoreRow, name)

    async def delete_axon_store(self, name: str) -> bool:
        """Delete a store, and return whether it existed."""
        return await self._delete("delete_axon_store", AxonStoreRow, last=[name]) > 0

    # Dataspaces.

    async def save_dataspace(self, dataspace: DataspaceRow) -> None:
        """Store a dataspace, or replace the one with the same name."""
        await self._save("save_dataspace", DataspaceRow, [dataspace])

    async def load_dataspaces(self) -> list[DataspaceRow]:
        """Return all dataspaces, ordered by name."""
        return await self._list_by_key("load_dataspaces", DataspaceRow)

    async def get_dataspace(self, name: str) -> DataspaceRow | None:
        """Return one dataspace, or None."""
        return await self._get("get_dataspace", DataspaceRow, name)

    async def delete_dataspace(self, name: str) -> bool:
        """Delete a dataspace, and return whether it existed."""
        return await self._delete("delete_dataspace", DataspaceRow, last=[name]) > 0

    # Hibernated agents.

    async def save_hibernation(self, session: HibernationRow) -> None:
        """Store a hibernated agent, or replace the one with the same id."""
        await self._save("save_hibernation", HibernationRow, [session])

    async def load_hibernations(self) -> list[HibernationRow]:
        """Return all hibernated agents, ordered by id."""
        return await self._list_by_key("load_hibernations", HibernationRow)

    async def get_hibernation(self, id: str) -> HibernationRow | None:  # noqa: A002  # the contract's name
        """Return one hibernated agent, or None."""
        return await self._get("get_hibernation", HibernationRow, id)

    async def delete_hibernation(self, id: str) -> bool:  # noqa: A002  # the contract's name
        """Delete a hibernated agent, and return whether it existed."""
        return await self._delete("delete_hibernation", HibernationRow, last=[id]) > 0

    # Schedules.

    async def save_schedule(self, schedule: ScheduleRow) -> None:
        """Store a schedule, or replace the one with the same name."""
        await self._save("save_schedule", ScheduleRow, [schedule])

    async def load_schedules(self) -> list[ScheduleRow]:
        """Return all schedules, ordered by name."""
        return await self._list_by_key("load_schedules", ScheduleRow)

    async def get_schedule(self, name: str) -> ScheduleRow | None:
        """Return one schedule, or None."""
        return await self._get("get_schedule", ScheduleRow, name)

    async def delete_schedule(self, name: str) -> bool:
        """Delete a schedule, and return whether it existed."""
        return await self._delete("delete_schedule", ScheduleRow, last=[name]) > 0
