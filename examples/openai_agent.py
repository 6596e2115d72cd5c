"""An agent of openai-agents with a memory that survives the end of the process.

``python openai_agent.py SESSION TEXT`` sends a text to the agent, and prints its answer. The memory is in the database
of ``DATABASE_URL``, or in the file ``agents.db``. The model is a stub, so that the example needs no network: for one of
OpenAI's leave out ``model=``, and set ``OPENAI_API_KEY``.
"""

import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage
from agents.testing import assistant_message

from axon_storage import LoopLocal
from axon_storage.integrations.openai_agents import AxonSession


class StubModel(Model):
    """A model that repeats the first text of the conversation."""

    async def get_response(self, system_instructions: str | None, input: Any, *_: Any, **__: Any) -> ModelResponse:  # noqa: A002, ARG002  # names of the base class
        """Return an answer to the items of the conversation."""
        texts = [input] if isinstance(input, str) else [item["content"] for item in input if item["role"] == "user"]
        answer = assistant_message(f"That was text {len(texts)}. The first was: {texts[0]}")
        return ModelResponse(output=[answer], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        """Refuse to stream."""
        raise NotImplementedError


def main(session_id: str, text: str) -> None:
    """Send a text to the agent in a session, and print the answer."""
    storage = LoopLocal(os.environ.get("DATABASE_URL") or "sqlite:///agents.db", migrate=True)
    agent = Agent(name="Assistant", instructions="Be brief.", model=StubModel())
    session = AxonSession(session_id, storage)
    result = Runner.run_sync(agent, text, session=session, run_config=RunConfig(tracing_disabled=True))
    print(result.final_output)  # noqa: T201  # the answer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
