"""AxonSessionService: sessions, events and states of Google's Agent Development Kit."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from google.adk.agents import LlmAgent
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event, EventActions
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai.types import Blob, Content, Part

from axon_storage import LoopLocal, SerializationError, SessionRow, SqlRepository, open_storage
from axon_storage.integrations.adk import KIND, AxonSessionService

ME: Any = {"app_name": "app", "user_id": "me"}
MINE: Any = {**ME, "session_id": "s"}


def event(text: str, **state: object) -> Event:
    content = Content(role="user", parts=[Part(text=text), Part(inline_data=Blob(data=b"\0\xff", mime_type="x/y"))])
    return Event(author="user", content=content, actions=EventActions(state_delta=state))


def texts(session: Session | None) -> list[str | None]:
    assert session is not None
    return [each.content.parts[0].text for each in session.events if each.content and each.content.parts]


async def test_a_session_is_read_as_it_was_created(repository: SqlRepository) -> None:
    service = AxonSessionService(repository)
    state = {"own": [1, None, "é"], "app:all": 1, "user:mine": {"a": 1.5}, "temp:gone": 1}
    created = await service.create_session(**MINE, state=state)
    assert created.state == {"own": [1, None, "é"], "app:all": 1, "user:mine": {"a": 1.5}}
    assert await service.get_session(**MINE) == created
    assert await service.get_session(**ME, session_id="other") is None
    with pytest.raises(AlreadyExistsError):
        await service.create_session(**MINE)
    with pytest.raises(SerializationError, match="create_session: the state is not JSON"):
        await service.create_session(**ME, state={"a": object()})
    unnamed = await service.create_session(**ME)
    assert unnamed.id not in {"", "s"}
    assert unnamed.state == {"app:all": 1, "user:mine": {"a": 1.5}}


async def test_events_and_the_changes_of_all_states_are_stored(repository: SqlRepository) -> None:
    service = AxonSessionService(repository)
    session = await service.create_session(**MINE, state={"own": 1, "app:all": 1})
    await service.append_event(session, event("a", own=None, **{"user:mine": 2, "temp:now": 3}))
    assert session.state == {"own": None, "app:all": 1, "user:mine": 2, "temp:now": 3}
    await service.append_event(session, event("b", **{"app:all": 4}))
    assert await service.append_event(session, Event(author="user", partial=True))
    stored = await service.get_session(**MINE)
    assert stored is not None
    assert stored.events == session.events
    assert stored.state == {"own": None, "app:all": 4, "user:mine": 2}
    assert stored.last_update_time == session.events[-1].timestamp
    assert await service.get_user_state(**ME) == {"mine": 2}
    assert await service.get_user_state(app_name="app", user_id="other") == {}
    other = await service.create_session(app_name="app", user_id="other")
    assert other.state == {"app:all": 4}


async def test_events_are_selected_by_number_and_time(repository: SqlRepository) -> None:
    service = AxonSessionService(repository)
    session = await service.create_session(**MINE)
    for number in range(5):
        added = event(str(number))
        added.timestamp = 1000.0 + number
        await service.append_event(session, added)
    for config, expected in [
        (GetSessionConfig(num_recent_events=0), []),
        (GetSessionConfig(num_recent_events=2), ["3", "4"]),
        (GetSessionConfig(after_timestamp=1002.0), ["2", "3", "4"]),
        (GetSessionConfig(after_timestamp=1001.0, num_recent_events=3), ["2", "3", "4"]),
        (GetSessionConfig(), ["0", "1", "2", "3", "4"]),
    ]:
        assert texts(await service.get_session(**MINE, config=config)) == expected


async def test_an_append_to_a_stale_session_is_refused_and_changes_nothing(repository: SqlRepository) -> None:
    service = AxonSessionService(repository)
    session = await service.create_session(**MINE)
    old = await service.get_session(**MINE)
    plain = Session(id="s", app_name="app", user_id="me")
    assert old is not None
    await service.append_event(session, event("a"))
    for stale in (old, plain):
        with pytest.raises(StaleSessionError, match="another call has appended an event"):
            await service.append_event(stale, event("b", own=1, **{"app:all": 1}))
        assert stale.events == []
    await service.delete_session(**MINE)
    await service.create_session(**MINE)
    with pytest.raises(StaleSessionError, match="another call has appended an event"):
        await service.append_event(session, event("b"))
    found = await service.get_session(**MINE)
    assert found is not None
    assert (found.events, found.state) == ([], {})
    plain.last_update_time = found.last_update_time
    await service.append_event(plain, event("c"))
    assert texts(await service.get_session(**MINE)) == ["c"]


async def test_of_concurrent_appends_to_one_session_one_succeeds(repository: SqlRepository, url: str) -> None:
    async with open_storage(url) as elsewhere:  # stands for another process
        services = [AxonSessionService(repository), AxonSessionService(elsewhere)]
        await services[0].create_session(**MINE)
        sessions = [await services[number % 2].get_session(**MINE) for number in range(6)]
        results = await asyncio.gather(
            *(
                services[number % 2].append_event(session, event("a", **{f"app:{number}": 1}))
                for number, session in enumerate(sessions)
                if session is not None
            ),
            return_exceptions=True,
        )
    assert [type(result) for result in results].count(Event) == 1
    assert [type(result) for result in results].count(StaleSessionError) == 5
    stored = await services[0].get_session(**MINE)
    assert stored is not None
    assert (texts(stored), len(stored.state)) == (["a"], 1)


async def test_a_deleted_session_has_no_events_even_beside_appends(repository: SqlRepository) -> None:
    service = AxonSessionService(repository)
    session = await service.create_session(**MINE, state={"user:mine": 1})
    await service.append_event(session, event("a"))
    appended, deleted = await asyncio.gather(
        service.append_event(session, event("b")), service.delete_session(**MINE), return_exceptions=True
    )
    assert deleted is None
    assert isinstance(appended, Event | SessionNotFoundError)
    assert await service.get_session(**MINE) is None
    with pytest.raises(SessionNotFoundError, match=r"Session s not found\."):
        await service.append_event(session, event("c"))
    await service.delete_session(**MINE)
    assert (await service.create_session(**MINE)).state == {"user:mine": 1}
    assert texts(await service.get_session(**MINE)) == []


class BeforeEvents:
    """A storage that awaits an action before it next loads rows."""

    def __init__(self, storage: SqlRepository, action: Callable[[], Awaitable[object]]) -> None:
        self._storage, self._actions = storage, [action]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def load_sessions(self, scope: str, **limits: Any) -> list[SessionRow]:
        if scope.startswith(f"{KIND}-events"):
            while self._actions:
                await self._actions.pop()()
        return await self._storage.load_sessions(scope, **limits)


@pytest.mark.parametrize("again", [False, True])
async def test_a_session_that_is_deleted_while_it_is_read_is_not_returned(
    repository: SqlRepository, again: bool
) -> None:
    service = AxonSessionService(repository)
    await service.append_event(await service.create_session(**MINE, state={"own": 1}), event("a"))

    async def delete() -> None:
        await service.delete_session(**MINE)
        if again:
            await service.create_session(**MINE, state={"own": 2})

    storage: Any = BeforeEvents(repository, delete)
    found = await AxonSessionService(storage).get_session(**MINE)
    assert (found and (found.state, found.events)) == (({"own": 2}, []) if again else None)


async def test_a_session_from_a_dump_is_compared_by_its_time(repository: SqlRepository) -> None:
    service = AxonSessionService(repository)
    session = await service.create_session(**MINE)
    copies = [Session.model_validate(session.model_dump()) for _ in range(3)]
    await service.append_event(copies[0], event("a"))
    with pytest.raises(StaleSessionError, match="another call has appended an event"):
        await service.append_event(copies[1], event("b"))
    copies[2].last_update_time = copies[0].last_update_time
    await service.append_event(copies[2], event("c"))
    assert texts(await service.get_session(**MINE)) == ["a", "c"]


async def test_sessions_are_listed_with_their_state_the_last_changed_last(repository: SqlRepository) -> None:
    service = AxonSessionService(repository)
    names = ["", "a", "a b", "A", "\0", "x" * 300, "x" * 301]
    first = await service.create_session(**ME, session_id="first", state={"app:all": 1})
    for name in names:
        await service.create_session(app_name="app", user_id=name, session_id=name, state={"user:name": name})
    await service.create_session(app_name="app 2", user_id="me", session_id="other")
    await service.append_event(first, event("a", own=1))
    listed = (await service.list_sessions(app_name="app")).sessions
    assert [(each.user_id, each.id) for each in listed] == [*((name, name) for name in names), ("me", "first")]
    assert listed[-1].state == {"own": 1, "app:all": 1}
    assert listed[-1].events == []
    for name in names:
        own = (await service.list_sessions(app_name="app", user_id=name)).sessions
        assert [each.state for each in own] == [{"app:all": 1, "user:name": name}]
        assert own == [await service.get_session(app_name="app", user_id=name, session_id=name)]
    assert (await service.list_sessions(app_name="none")).sessions == []


class Stub(BaseLlm):
    """A model that says how many contents it was sent."""

    async def generate_content_async(
        self,
        llm_request: LlmRequest,
        stream: bool = False,  # noqa: ARG002  # the base class has it
    ) -> AsyncGenerator[LlmResponse, None]:
        answer = f"I remember {len(llm_request.contents)}"
        yield LlmResponse(content=Content(role="model", parts=[Part(text=answer)]))


async def test_a_runner_remembers_in_every_event_loop(url: str) -> None:
    service = AxonSessionService(LoopLocal(url))

    def runner_and_message(text: str) -> tuple[Runner, Content]:
        agent = LlmAgent(name="agent", model=Stub(model="stub"))
        runner = Runner(app_name="app", agent=agent, session_service=service, auto_create_session=True)
        return runner, Content(role="user", parts=[Part(text=text)])

    async def ask(text: str) -> list[Event]:
        runner, message = runner_and_message(text)
        return [found async for found in runner.run_async(user_id="me", session_id="s", new_message=message)]

    def ask_in_its_thread(text: str) -> list[Event]:
        runner, message = runner_and_message(text)
        return list(runner.run(user_id="me", session_id="s", new_message=message))

    assert await asyncio.to_thread(asyncio.run, ask("a"))
    assert await asyncio.to_thread(ask_in_its_thread, "b")
    assert texts(await AxonSessionService(LoopLocal(url)).get_session(**MINE)) == [
        "a",
        "I remember 1",
        "b",
        "I remember 3",
    ]
