"""The conformance suite on a database with row-level security."""

from axon_storage.testing.suite import *  # noqa: F403
