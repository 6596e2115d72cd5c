"""The conformance suite on a storage that encrypts its documents."""

from axon_storage.testing.suite.cache import *  # noqa: F403
from axon_storage.testing.suite.creates import *  # noqa: F403
from axon_storage.testing.suite.many import *  # noqa: F403
from axon_storage.testing.suite.recorded import *  # noqa: F403
from axon_storage.testing.suite.round_trip import *  # noqa: F403  # tests that docs/contract.md names
from axon_storage.testing.suite.tenants import *  # noqa: F403  # as above
from tests.doses import EVERYTHING

if EVERYTHING:
    from axon_storage.testing.suite import *  # noqa: F403
