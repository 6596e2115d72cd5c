"""The code blocks of README.md and of the pages in docs/, with the options of their fences."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SHELLS = frozenset({"sh", "bash", "console", "shell"})
PROGRAMS = SHELLS | {"python"}
"""The languages of the blocks that run."""


class Block(NamedTuple):
    """A fenced code block."""

    language: str
    attributes: dict[str, str]
    code: str

    @property
    def skip(self) -> str | None:
        """The reason why the block is not run, or None."""
        kind, _, reason = self.attributes.get("test", "").partition(": ")
        return reason if kind == "skip" else None

    @property
    def is_command(self) -> bool:
        return self.language in SHELLS


def pages() -> list[Path]:
    """Return README.md and every page of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """Return the programs of a page, their files and their outputs, in order."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    blocks = [_block(token.info, token.content) for token in tokens if token.type == "fence"]
    return [block for block in blocks if block.language in PROGRAMS or "title" in block.attributes]


def fences_of(page: Path) -> int:
    """Count the blocks of a page, however they are indented: blocks that the parser misses would not be tested."""
    return len(re.findall(r"^\s*```\w", page.read_text(encoding="utf-8"), re.MULTILINE))


def parsed_fences_of(page: Path) -> int:
    """Count the blocks that the parser finds."""
    return sum(token.type == "fence" for token in MarkdownIt().parse(page.read_text(encoding="utf-8")))


def _block(info: str, code: str) -> Block:
    language, *attributes = shlex.split(info) or [""]
    assert language != "py"  # only one name for Python, so that no block is missed
    return Block(language, dict(attribute.split("=", 1) for attribute in attributes), code)
