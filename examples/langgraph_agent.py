"""A LangGraph agent that asks before it acts, and continues in another process: its checkpoints are in a database.

``python langgraph_agent.py THREAD "question"`` starts it, and ``python langgraph_agent.py THREAD --answer yes`` continues
it. ``DATABASE_URL`` names the database; the default is a SQLite file. The model is a stub, so no network is needed.
"""

import argparse
import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from axon_storage import open_storage
from axon_storage.integrations.langgraph import AxonSaver


class State(TypedDict, total=False):
    """The state of the agent."""

    messages: Annotated[list[str], operator.add]


async def plan(state: State) -> State:
    """Answer with a plan, as a model would."""
    return {"messages": [f"I would look up: {state['messages'][-1]}"]}


async def act(state: State) -> State:
    """Ask for permission, and act."""
    answer = interrupt("May I?")
    return {"messages": [f"{answer}: done ({len(state['messages'])} messages before)"]}


def agent(saver: AxonSaver) -> Any:
    """Make the graph."""
    graph: Any = StateGraph(State)
    graph.add_node("plan", plan).add_node("act", act)
    graph.add_edge(START, "plan").add_edge("plan", "act").add_edge("act", END)
    return graph.compile(checkpointer=saver)


async def main() -> None:
    """Run the agent until it asks, or continue it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("thread")
    parser.add_argument("question", nargs="?")
    parser.add_argument("--answer")
    options = parser.parse_args()
    async with open_storage(default_url="sqlite:///agents.db", migrate=True) as storage:
        config: RunnableConfig = {"configurable": {"thread_id": options.thread}}
        given = Command(resume=options.answer) if options.answer else {"messages": [options.question]}
        result = await agent(AxonSaver(storage)).ainvoke(given, config)
    for question in result.get("__interrupt__", []):
        print(question.value)
    print(result["messages"][-1])


asyncio.run(main())
