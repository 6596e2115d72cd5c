"""The conformance suite on a storage that encrypts its documents."""

from axon_storage.testing.suite import *  # noqa: F403
from axon_storage.testing.suite.round_trip import *  # noqa: F403  # a test that docs/contract.md names
from axon_storage.testing.suite.tenants import *  # noqa: F403  # as above
