"""Values are read as they were stored: every row type, the whole domain, and difficult values."""

from axon_storage.testing.suite.round_trip import *  # noqa: F403
