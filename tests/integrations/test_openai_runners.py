"""The runners of openai-agents with an AxonSession, in one and in several event loops. The model is a stub."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agents import Agent, OpenAIResponsesCompactionSession, RunConfig, Runner
from agents.testing import ScriptedModel, assistant_message

from axon_storage import LoopLocal, SqlRepository, StorageConnectionError, open_storage
from axon_storage.integrations.openai_agents import AxonSession

CONFIG = RunConfig(tracing_disabled=True)

# Runner.run_sync shuts down the asynchronous generators of a loop that it uses again; asyncio then warns of new ones
pytestmark = pytest.mark.filterwarnings("ignore:asynchronous generator:ResourceWarning")


def agent_that_says(*answers: str) -> tuple[Agent[Any], ScriptedModel]:
    model = ScriptedModel([[assistant_message(answer)] for answer in answers])
    return Agent(name="agent", model=model), model


def said(items: Any) -> list[str]:
    """Return the texts of items, which are strings or lists of parts."""
    contents = [item["content"] for item in items]
    return [content if isinstance(content, str) else content[0]["text"] for content in contents]


async def test_a_run_remembers_the_runs_before_it(repository: SqlRepository) -> None:
    agent, model = agent_that_says("Hello Ada", "Ada")
    await Runner.run(agent, "I am Ada", session=AxonSession("id", repository), run_config=CONFIG)
    streamed = Runner.run_streamed(agent, "Who?", session=AxonSession("id", repository), run_config=CONFIG)
    assert [event async for event in streamed.stream_events()]
    assert said(model.calls[1].input) == ["I am Ada", "Hello Ada", "Who?"]
    assert said(await AxonSession("id", repository).get_items()) == ["I am Ada", "Hello Ada", "Who?", "Ada"]


async def test_it_works_beneath_the_packages_own_wrapper(repository: SqlRepository) -> None:
    agent, _model = agent_that_says("Hello Ada")
    wrapped = OpenAIResponsesCompactionSession(
        "id", AxonSession("id", repository), should_trigger_compaction=lambda _: False
    )
    await Runner.run(agent, "I am Ada", session=wrapped, run_config=CONFIG)
    assert said(await AxonSession("id", repository).get_items()) == ["I am Ada", "Hello Ada"]


async def test_run_sync_remembers_on_a_loop_local(url: str) -> None:
    agent, model = agent_that_says("Hello Ada", "Ada", "Ada!")
    session = AxonSession("id", LoopLocal(url))

    def ask() -> None:
        with asyncio.Runner() as runner:  # closes the loop of this thread, which run_sync leaves open
            asyncio.set_event_loop(runner.get_loop())
            for text in ("I am Ada", "Who?", "Who?"):
                Runner.run_sync(agent, text, session=session, run_config=CONFIG)

    await asyncio.to_thread(ask)
    assert said(model.calls[2].input) == ["I am Ada", "Hello Ada", "Who?", "Ada", "Who?"]


async def test_a_loop_for_each_call_in_several_threads(url: str) -> None:
    storage = LoopLocal(url)

    def talk(user: int) -> list[str]:
        agent, model = agent_that_says(*"abc")
        for text in "123":
            run = Runner.run(agent, text, session=AxonSession(f"user {user}", storage), run_config=CONFIG)
            asyncio.run(run)
        return said(model.calls[2].input)

    with ThreadPoolExecutor(4) as threads:
        loop = asyncio.get_running_loop()
        heard = await asyncio.gather(*(loop.run_in_executor(threads, talk, user) for user in range(4)))
    assert heard == [["1", "a", "2", "b", "3"]] * 4


async def test_a_storage_of_another_loop_is_refused(url: str) -> None:
    agent, _model = agent_that_says("Hello Ada")
    async with open_storage(url) as storage:
        session = AxonSession("id", storage)
        await session.get_items()
        run = Runner.run(agent, "I am Ada", session=session, run_config=CONFIG)
        with pytest.raises(StorageConnectionError, match="another event loop: open one in this loop, or use a LoopL"):
            await asyncio.to_thread(asyncio.run, run)


def test_a_session_keeps_no_loop_in_memory() -> None:
    session = AxonSession("id", LoopLocal("memory://"))
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def pop_at_the_same_time() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await asyncio.gather(*(session.pop_item() for _ in range(3)))

    for _ in range(3):
        asyncio.run(pop_at_the_same_time())
    gc.collect()
    assert [loop() for loop in loops[:2]] == [None, None]  # the last one is forgotten when the next one is used
