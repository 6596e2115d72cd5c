"""``reverse`` and ``after`` of the iterators: the newest rows first, and the rows that follow a given one."""

from axon_storage.testing.suite.reverse_iterators import *  # noqa: F403
