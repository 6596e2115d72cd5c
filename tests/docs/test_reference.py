"""The reference documents every public name."""

import inspect
import re

import axon_storage
from axon_storage import schema
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs/reference"


def _documented() -> list[str]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    return re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)


def test_every_public_name_is_in_the_reference_once() -> None:
    names = [f"axon_storage.{name}" for name in axon_storage.__all__ if not name.startswith("__")]
    names += [f"axon_storage.schema.{name}" for name in schema.__all__]
    assert set(names) <= set(_documented())
    assert len(_documented()) == len(set(_documented()))


def test_the_options_of_opening_are_in_the_reference() -> None:
    options = inspect.signature(axon_storage.open_storage).parameters["options"].annotation.__args__
    assert f"{options[0].__module__}.{options[0].__name__}" in _documented()
