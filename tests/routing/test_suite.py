"""The conformance suite on a router over a SQLite file and another database."""

from axon_storage.testing.suite.beside_transactions import *  # noqa: F403
from axon_storage.testing.suite.health import *  # noqa: F403
from axon_storage.testing.suite.many import *  # noqa: F403
from axon_storage.testing.suite.stats import *  # noqa: F403
from axon_storage.testing.suite.tenants import *  # noqa: F403
from tests.doses import EVERYTHING

if EVERYTHING:
    from axon_storage.testing.suite import *  # noqa: F403
