"""The methods of a storage for sessions."""

from collections.abc import Iterable

from axon_storage.backend.calls import RequestMethods
from axon_storage.errors import InvalidArgumentError
from axon_storage.model.requests import ListScopes
from axon_storage.model.rows import SessionRow
from axon_storage.model.validation import operation_context, validate_bounds, validate_limit


class SessionMethods(RequestMethods):
    """Methods that save, read and delete session entries."""

    async def save_session(self, entry: SessionRow) -> None:
        """Store a session entry, or replace the one with the same scope and key."""
        await self._save("save_session", SessionRow, [entry])

    async def load_sessions(
        self,
        scope: str,
        keys: Iterable[str] | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[SessionRow]:
        """Return the entries of a scope, ordered by key, or backwards with ``reverse``.

        These are the entries with the given ``keys``, or those of a range, or without either all entries of the scope.
        ``start`` (included) and ``end`` (not included) limit the keys, by code point. ``limit`` is the maximum number
        of entries. None means no limit. The last ten messages of a conversation, whose keys are ``message 0001`` and
        so on, newest first::

            await storage.load_sessions("chat", start="message ", end="message!", limit=10, reverse=True)
        """
        _check_keys("load_sessions", keys, start=start, end=end, limit=limit)
        if keys is not None:
            return await self._list_keys("load_sessions", SessionRow, scope, last=keys, reverse=reverse)
        return await self._list_range(
            "load_sessions", SessionRow, scope, start=start, end=end, limit=limit, reverse=reverse
        )

    async def get_session(self, scope: str, key: str) -> SessionRow | None:
        """Return one entry, or None."""
        return await self._get("get_session", SessionRow, scope, key)

    async def delete_session(self, scope: str, key: str) -> bool:
        """Delete an entry, and return whether it existed."""
        return await self._delete("delete_session", SessionRow, scope, last=[key]) > 0

    async def delete_sessions(
        self, scope: str, keys: Iterable[str] | None = None, *, start: str | None = None, end: str | None = None
    ) -> int:
        """Delete entries of a scope in one transaction, and return the number of deleted entries.

        These are the entries with the given ``keys``, or those from ``start`` (included) to ``end`` (not included), by
        code point, or without either all entries of the scope.
        """
        _check_keys("delete_sessions", keys, start=start, end=end)
        if keys is not None:
            return await self._delete("delete_sessions", SessionRow, scope, last=keys)
        return await self._delete_range("delete_sessions", SessionRow, scope, start=start, end=end)

    async def session_scopes(
        self, *, start: str | None = None, end: str | None = None, limit: int | None = None
    ) -> list[str]:
        """Return the scopes that have entries, sorted. The time depends on the number of scopes, not of entries.

        ``start`` (included) and ``end`` (not included) limit the scopes, by code point. ``limit`` is the maximum number
        of scopes. None means no limit.
        """
        with operation_context("session_scopes"):
            bounds = validate_bounds(SessionRow, "scope", start=start, end=end)
            validate_limit(limit)
            tenant = self.current_tenant()
        return await self.execute(
            ListScopes(operation="session_scopes", tenant=tenant, row_type=SessionRow, bounds=bounds, limit=limit)
        )


def _check_keys(operation: str, keys: Iterable[str] | None, **others: str | int | None) -> None:
    """Refuse a str as ``keys``, and ``keys`` together with other limits."""
    with operation_context(operation):
        if isinstance(keys, str):
            raise InvalidArgumentError("keys must be an iterable of keys, not a str: use [key]")
        if keys is not None and any(value is not None for value in others.values()):
            raise InvalidArgumentError(f"keys cannot be combined with {' and '.join(others)}")
