"""LangGraph on a storage: a checkpointer and a store. Install ``axon-storage[langgraph]``."""

from axon_storage.integrations.langgraph.saver import AxonSaver
from axon_storage.integrations.langgraph.store import AxonStore

__all__ = ["AxonSaver", "AxonStore"]
