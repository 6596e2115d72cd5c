"""Tests for backends, and storages for tests. They need the extra ``testing``.

``suite``: the conformance suite, for a backend or a database of your own. ``plugin``: the pytest plugin, with the
fixture ``ephemeral_storage``. ``samples``, ``verbs``, ``iteration`` and ``pruning``: rows, and the methods of a storage
by row type.
"""
