"""A LangGraph agent that asks before it acts, and continues in another process: its checkpoints are in a database.

``python langgraph_agent.py THREAD TEXT`` sends a text to the agent, or answers its question. The checkpoints are in the
database of ``DATABASE_URL``, or in the file ``agents.db``. The model is a stub, so that the example needs no network.
"""

import asyncio
import operator
import os
import sys
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from axon_storage import open_storage
from axon_storage.integrations.langgraph import AxonSaver


class State(TypedDict, total=False):
    """The state of the agent."""

    messages: Annotated[list[str], operator.add]


async def plan(state: State) -> State:
    """Answer with a plan, as a model would."""
    return {"messages": [f"I will look up: {state['messages'][-1]}"]}


async def act(state: State) -> State:
    """Ask for permission, and act."""
    answer = interrupt(f"{state['messages'][-1]}. May I?")
    return {"messages": [f"You said {answer!r} after {len(state['messages'])} messages."]}


def agent(saver: AxonSaver) -> Any:
    """Make the graph."""
    graph: Any = StateGraph(State)
    graph.add_node("plan", plan).add_node("act", act)
    graph.add_edge(START, "plan").add_edge("plan", "act").add_edge("act", END)
    return graph.compile(checkpointer=saver)


async def main(thread_id: str, text: str) -> None:
    """Send a text to the agent, or answer its question, and print what it says."""
    config: Any = {"configurable": {"thread_id": thread_id}}
    url = os.environ.get("DATABASE_URL") or "sqlite:///agents.db"
    async with open_storage(url, migrate=True) as storage:
        graph = agent(AxonSaver(storage))
        waits = (await graph.aget_state(config)).next
        result = await graph.ainvoke(Command(resume=text) if waits else {"messages": [text]}, config)
    questions = [question.value for question in result.get("__interrupt__", ())]
    print(*(questions or result["messages"][-1:]))  # noqa: T201  # the answer


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
