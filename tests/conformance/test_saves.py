"""A save replaces the whole row of a key; keys are compared by code point; lists are in key order."""

from axon_storage.testing.suite.saves import *  # noqa: F403
