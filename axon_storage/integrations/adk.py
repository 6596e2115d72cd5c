"""AxonSessionService: the sessions of Google's Agent Development Kit, on a storage.

Each session has a row with its own state and the number of its events, its revision. Each event has a row whose key is
its number. To append an event, a call creates the row with the next number. If another call has done that, the session
of the caller is stale. Each value of an app's or a user's state has a row, so that no change overwrites another.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event
from google.adk.platform.time import get_time
from google.adk.sessions import BaseSessionService, Session, State
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse
from pydantic import Field
from pydantic_core import PydanticSerializationError, to_jsonable_python

from axon_storage.backend import StorageBackend
from axon_storage.errors import SerializationError
from axon_storage.integrations.keys import MAX_LENGTH, after, part
from axon_storage.model.rows import SessionRow

KIND = "adk"
"""The word that the scopes of sessions, events and states begin with."""

_HALF = (MAX_LENGTH - 1) // 2
_STALE = "another call has appended an event since the session was read: read it again"


class StoredSession(Session):
    """A session that was read from a storage. ``revision``: the number of its events in the storage.

    It is not in a dump, because ``Session`` refuses a dump with a field that it does not have.
    """

    revision: int = Field(default=0, exclude=True)


class AxonSessionService(BaseSessionService):
    """A session service. ``storage``: any storage, a view for a tenant, or a ``LoopLocal``."""

    def __init__(self, storage: StorageBackend) -> None:
        self._storage = storage

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Create a session. Raise an AlreadyExistsError if the id exists."""
        session_id = str(uuid4()) if session_id is None else session_id
        own, shared = _split(app_name, user_id, _jsonable(state or {}))
        head = _head(app_name, user_id, session_id, state=own, time=get_time(), revision=0)
        async with self._storage.transaction() as transaction:
            if not await transaction.create(head):
                raise AlreadyExistsError(f"Session with id {session_id} already exists.")
            await transaction.save_many(shared)
        return self._session(app_name, head, await self._shared_state(app_name, user_id))

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its events and state, or None."""
        head_key = _head_key(app_name, user_id, session_id)
        if (head := await self._storage.get_session(*head_key)) is None:
            return None
        session = self._session(app_name, head, await self._shared_state(app_name, user_id))
        count, since = (config.num_recent_events, config.after_timestamp) if config else (None, None)
        rows = await self._storage.load_sessions(
            _scope("events", app_name, user_id, session_id),
            end=_number(session.revision + 1),  # without events that were appended meanwhile
            limit=count if since is None else None,
            reverse=True,
        )
        if not rows and session.revision and count != 0 and await self._storage.get_session(*head_key) != head:
            # It was deleted between the reads.
            return await self.get_session(app_name=app_name, user_id=user_id, session_id=session_id, config=config)
        events = [Event.model_validate_json(row.value) for row in rows]
        session.events = [event for event in events if since is None or event.timestamp >= since][:count][::-1]
        return session

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return the sessions of a user, or of all users, without events. The one that changed last comes last."""
        of_user: dict[str, Any] = {}
        if user_id is not None:
            user = part(user_id, _HALF)
            of_user = {"start": f"{user} ", "end": after(user)}
        heads = await self._storage.load_sessions(_scope("sessions", app_name), **of_user)
        users = {json.loads(head.value)["user"] for head in heads}
        states = {user: await self._shared_state(app_name, user) for user in users}
        sessions = [self._session(app_name, head, states[json.loads(head.value)["user"]]) for head in heads]
        sessions.sort(key=lambda session: (session.last_update_time, session.user_id, session.id))
        return ListSessionsResponse(sessions=list[Session](sessions))

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session and its events. The states of the app and the user stay."""
        head_key, events = _head_key(app_name, user_id, session_id), _scope("events", app_name, user_id, session_id)
        while (head := await self._storage.get_session(*head_key)) is not None:
            async with self._storage.transaction() as transaction:
                next_event = _row(events, _number(json.loads(head.value)["revision"] + 1), None)
                # While this row is not committed, no other call can append an event.
                if await transaction.create(next_event):
                    await transaction.delete_sessions(events)
                    await transaction.delete_session(*head_key)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state that the sessions of a user share, without prefixes."""
        return await self._state(_scope("user", app_name, user_id))

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event and the changes of the states in one transaction.

        Raise a StaleSessionError if another call has appended an event since the session was read, and a
        SessionNotFoundError if the session was deleted. A ``Session`` that was not read from the storage, such as one
        that was validated from a dump, is stale if its ``last_update_time`` is before that of the newest event.
        """
        if event.partial:
            return event
        stored = json.loads(event.model_dump_json(exclude_none=True))
        changes = stored["actions"].get("state_delta", {})
        stored["actions"]["state_delta"] = {
            key: value for key, value in changes.items() if not key.startswith(State.TEMP_PREFIX)
        }
        revision = await self._append(session, stored)
        event = await super().append_event(session, event)
        session.last_update_time = event.timestamp
        if isinstance(session, StoredSession):
            session.revision = revision
        return event

    async def _append(self, session: Session, event: Mapping[str, Any]) -> int:
        ids, before = (session.app_name, session.user_id, session.id), await self._revision(session)
        own, shared = _split(session.app_name, session.user_id, event["actions"]["state_delta"])
        row = _row(_scope("events", *ids), _number(before + 1), event)
        async with self._storage.transaction() as transaction:
            if not await transaction.create(row):
                raise StaleSessionError(_STALE)
            # It is read after the create, which waits for a delete of the session.
            found = await transaction.get_session(*_head_key(*ids))
            if found is None:
                raise SessionNotFoundError(f"Session {session.id} not found.")
            head = json.loads(found.value)
            if head["revision"] != before:  # the session was deleted and created again
                raise StaleSessionError(_STALE)
            state = head["state"] | own
            head_row = _head(*ids, state=state, time=event["timestamp"], revision=before + 1)
            await transaction.save_many([*shared, head_row])
        return before + 1

    async def _revision(self, session: Session) -> int:
        """Return the revision of a session. One that was not read from a storage is compared by its time."""
        if isinstance(session, StoredSession):
            return session.revision
        row = await self._storage.get_session(*_head_key(session.app_name, session.user_id, session.id))
        head = {"revision": 0, "time": 0} if row is None else json.loads(row.value)
        if head["time"] > session.last_update_time:
            raise StaleSessionError(_STALE)
        return int(head["revision"])

    def _session(self, app_name: str, head: SessionRow, shared: dict[str, Any]) -> StoredSession:
        stored = json.loads(head.value)
        return StoredSession(
            id=stored["id"],
            app_name=app_name,
            user_id=stored["user"],
            state=stored["state"] | shared,
            last_update_time=stored["time"],
            revision=stored["revision"],
        )

    async def _shared_state(self, app_name: str, user_id: str) -> dict[str, Any]:
        of_app = await self._state(_scope("app", app_name))
        of_user = await self._state(_scope("user", app_name, user_id))
        return {State.APP_PREFIX + key: value for key, value in of_app.items()} | {
            State.USER_PREFIX + key: value for key, value in of_user.items()
        }

    async def _state(self, scope: str) -> dict[str, Any]:
        return dict(json.loads(row.value) for row in await self._storage.load_sessions(scope))


def _scope(kind: str, *names: str) -> str:
    """Return the scope of the rows of a kind that belong to an app, a user or a session."""
    limit = (MAX_LENGTH - len(f"{KIND}-{kind}")) // len(names) - 1
    return " ".join([f"{KIND}-{kind}", *(part(name, limit) for name in names)])


def _head_key(app_name: str, user_id: str, session_id: str) -> tuple[str, str]:
    return _scope("sessions", app_name), f"{part(user_id, _HALF)} {part(session_id, _HALF)}"


def _head(
    app_name: str, user_id: str, session_id: str, *, state: Mapping[str, Any], time: float, revision: int
) -> SessionRow:
    value = {"user": user_id, "id": session_id, "state": state, "time": time, "revision": revision}
    return _row(*_head_key(app_name, user_id, session_id), value)


def _row(scope: str, key: str, value: Any) -> SessionRow:
    return SessionRow(scope=scope, key=key, value=json.dumps(value), source_step=KIND)


def _number(revision: int) -> str:
    return f"{revision:012}"


def _split(app_name: str, user_id: str, state: Mapping[str, Any]) -> tuple[dict[str, Any], list[SessionRow]]:
    """Return the values of a state that belong to the session, and rows for those of its app and user."""
    scopes = {State.APP_PREFIX: _scope("app", app_name), State.USER_PREFIX: _scope("user", app_name, user_id)}
    own, shared = dict[str, Any](), list[SessionRow]()
    for key, value in state.items():
        prefix = next((prefix for prefix in scopes if key.startswith(prefix)), None)
        if prefix is not None:
            name = key.removeprefix(prefix)
            shared.append(_row(scopes[prefix], part(name, MAX_LENGTH), [name, value]))
        elif not key.startswith(State.TEMP_PREFIX):
            own[key] = value
    return own, shared


def _jsonable(state: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(to_jsonable_python(state))
    except PydanticSerializationError as error:
        raise SerializationError(f"the state is not JSON: {error}", operation="create_session") from error
