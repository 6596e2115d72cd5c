"""A Griffe extension that converts Sphinx roles in docstrings, such as :class:`StorageError`, to links."""

import re
from operator import attrgetter
from typing import Any

import griffe

import axon_storage
from axon_storage import StorageBackend, opening, schema

_ROLE = re.compile(r":(?:class|func|meth|data|attr|mod):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites each docstring as it is loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(_link, obj.docstring.value)


def _link(role: re.Match[str]) -> str:
    name = re.sub(r"^axon_storage\.((schema|opening)\.)?", "", role[1])
    for owner, path in (
        (axon_storage, "axon_storage"),
        (StorageBackend, "axon_storage.StorageBackend"),
        (schema, "axon_storage.schema"),
        (opening, "axon_storage.opening"),
    ):
        if _has(owner, name):
            return f"[`{name}`][{path}.{name}]"
    return f"`{role[1]}`"


def _has(owner: object, path: str) -> bool:
    try:
        attrgetter(path)(owner)
    except AttributeError:
        return False
    return True
