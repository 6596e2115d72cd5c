"""Graphs of LangGraph on AxonSaver: interrupts, branches, subgraphs and delta channels."""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from axon_storage import LoopLocal
from axon_storage.integrations.langgraph import AxonSaver
from tests.integrations.checkpoints import config, entries, ids


class State(TypedDict, total=False):
    steps: Annotated[list[str], operator.add]
    answer: str


def _append(state: list[str], writes: list[list[str]]) -> list[str]:
    return state + [item for write in writes for item in write]


class DeltaState(TypedDict, total=False):
    items: Annotated[list[str], DeltaChannel(_append, snapshot_frequency=4)]
    count: int


def _asking(saver: AxonSaver) -> Any:
    async def ask(_state: State) -> State:
        return {"steps": ["asked"], "answer": interrupt("question")}

    async def use(state: State) -> State:
        return {"steps": [f"used {state['answer']}"]}

    graph: Any = StateGraph(State)
    graph.add_node("ask", ask).add_node("use", use)
    return graph.add_edge(START, "ask").add_edge("ask", "use").add_edge("use", END).compile(checkpointer=saver)


async def test_an_interrupted_graph_continues_in_another_process(saver: AxonSaver) -> None:
    first = await _asking(saver).ainvoke({"steps": ["begun"]}, config())
    assert first["__interrupt__"][0].value == "question"
    other = _asking(AxonSaver(saver.storage))
    assert await other.ainvoke(Command(resume="42"), config()) == {
        "steps": ["begun", "asked", "used 42"],
        "answer": "42",
    }
    states = [state async for state in other.aget_state_history(config())]
    assert [state.next for state in states] == [(), ("use",), ("ask",), ("__start__",)]


async def test_a_branch_from_an_earlier_checkpoint_does_not_change_the_first(saver: AxonSaver) -> None:
    graph = _asking(saver)
    await graph.ainvoke({"steps": ["begun"]}, config())
    await graph.ainvoke(Command(resume="42"), config())
    states = [state async for state in graph.aget_state_history(config())]
    branch = await graph.aupdate_state(states[1].config, {"steps": ["changed"]})
    assert (await graph.aget_state(branch)).values["steps"] == ["begun", "asked", "changed"]
    assert (await graph.aget_state(states[0].config)).values["steps"] == ["begun", "asked", "used 42"]


async def test_parallel_tasks_and_a_subgraph_keep_their_results(saver: AxonSaver) -> None:
    async def work(state: State) -> State:
        return {"steps": [f"worked {state['answer']}"]}

    async def ask(_state: State) -> State:
        return {"answer": interrupt("question")}

    inner: Any = StateGraph(State)
    graph: Any = StateGraph(State)
    inner.add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    graph.add_node("work", work).add_node("inner", inner.compile())
    graph.add_conditional_edges(START, lambda _: [Send("work", {"answer": f"{n}"}) for n in range(5)], ["work"])
    compiled = graph.add_edge("work", "inner").compile(checkpointer=saver)
    await compiled.ainvoke({"steps": ["begun"]}, config())
    assert len({found.config["configurable"]["checkpoint_ns"] async for found in saver.alist(None)}) == 2
    result = await compiled.ainvoke(Command(resume="42"), config())
    assert result["answer"] == "42"
    assert {f"worked {n}" for n in range(5)} <= set(result["steps"])
    assert (await compiled.aget_state(config())).values == result


def _counting(saver: AxonSaver) -> Any:
    async def add(state: DeltaState) -> DeltaState:
        return {"items": [f"item {state.get('count', 0)}"], "count": state.get("count", 0) + 1}

    graph = StateGraph(DeltaState).add_node("add", add).add_edge(START, "add").add_edge("add", END)
    return graph.compile(checkpointer=saver)


@pytest.mark.filterwarnings("ignore")  # LangGraph warns that delta channels are in beta
@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5, 9])
async def test_delta_channels_are_rebuilt_also_after_pruning_and_copying(saver: AxonSaver, runs: int) -> None:
    graph = _counting(saver)
    for _ in range(runs):
        await graph.ainvoke({"items": ["input"]}, config())
    state = (await graph.aget_state(config())).values
    assert len(state["items"]) == 2 * runs
    count = len(await ids(saver, config()))
    await saver.aprune(["thread"])
    assert (await graph.aget_state(config())).values == state
    assert len(await ids(saver, config())) <= min(count, 15)  # a snapshot is at most four updates old
    await saver.acopy_thread("thread", "copy")
    await saver.adelete_thread("thread")
    await graph.ainvoke({"items": ["input"]}, config("copy"))
    assert (await graph.aget_state(config("copy"))).values["items"][: 2 * runs] == state["items"]


@pytest.mark.filterwarnings("ignore")  # LangGraph warns that delta channels are in beta
async def test_checkpoints_of_a_run_that_delta_channels_need_are_kept(saver: AxonSaver) -> None:
    graph = _counting(saver)
    for run in ("first", "second", "third"):
        await graph.ainvoke({"items": [run]}, config() | {"metadata": {"run_id": run}})
    state = (await graph.aget_state(config())).values
    assert state["items"] == ["first", "item 0", "second", "item 1", "third", "item 2"]
    await saver.adelete_for_runs(["first", "second"])
    assert (await graph.aget_state(config())).values == state
    await saver.adelete_for_runs(["third", "second", "first"])
    assert await entries(saver.storage) == []


def test_a_saver_on_a_loop_local_works_in_every_event_loop(tmp_path: Path) -> None:
    saver = AxonSaver(LoopLocal(f"sqlite:///{tmp_path}/agents.db"))
    graph = _asking(saver)
    asyncio.run(graph.ainvoke({"steps": ["begun"]}, config()))
    assert asyncio.run(graph.ainvoke(Command(resume="42"), config()))["answer"] == "42"
    with pytest.raises(asyncio.InvalidStateError, match="made outside an event loop"):
        graph.get_state(config())


async def test_a_synchronous_graph_runs_in_a_thread(saver: AxonSaver) -> None:
    def step(_state: State) -> State:
        return {"steps": ["done"]}

    builder: Any = StateGraph(State)
    graph = builder.add_node("step", step).add_edge(START, "step").compile(checkpointer=saver)
    assert (await asyncio.to_thread(graph.invoke, {"steps": []}, config()))["steps"] == ["done"]
    assert (await asyncio.to_thread(graph.get_state, config())).values["steps"] == ["done"]
