"""The conformance suite on a storage that encrypts its documents."""

from axon_storage.testing.suite import *  # noqa: F403
