"""LangGraph on a storage: a checkpointer and a store. Install ``axon-storage[langgraph]``."""

from axon_storage.integrations.langgraph.saver import AxonSaver

__all__ = ["AxonSaver"]
