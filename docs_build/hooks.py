"""MkDocs hooks: insert the command-line reference, and make diagrams work without a network."""

import re
from importlib.resources import files as resources
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from axon_storage.cli import app

COMMANDS = "<!-- commands -->"
MERMAID = "assets/mermaid.js"

_NOISE = re.compile(
    r"^# .*\n"  # the page has a heading
    r"|\*\*Commands\*\*:\n\n(\* .*\n)+"  # Typer shortens these sentences, and each command follows in full
    r"|\* `--help`: .*\n",
    re.MULTILINE,
)
_FOR_TESTS = re.compile(r'(?m)^( *```\w+) test="[^"]*"')
_EMPTY_OPTIONS = re.compile(r"\*\*Options\*\*:\n\n(?!\*)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add mermaid.js to the site; Material would load it from a CDN."""
    source = resources("mermaidx").joinpath("assets/mermaid.js")  # mermaidx contains Mermaid's own file
    files.append(File.generated(config, MERMAID, content=source.read_text(encoding="utf-8")))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Insert the command-line reference at its marker; remove the test options of code blocks."""
    if COMMANDS in markdown:
        command = get_command(app)
        written = get_docs_for_click(obj=command, ctx=Context(command), name="axon-storage")
        markdown = markdown.replace(COMMANDS, _EMPTY_OPTIONS.sub("", _NOISE.sub("", written)))
    return _FOR_TESTS.sub(r"\1", markdown)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Load mermaid.js, which is large, only on pages with a diagram; refuse resources from other hosts."""
    if 'src="http' in output:
        raise PluginError(f"{page.file.src_uri}: a script or an image comes from another host")
    if "<p>```" in output:
        raise PluginError(f"{page.file.src_uri}: a code block is not shown as one")
    if '<pre class="mermaid">' not in output:
        return output
    up = "../" * page.url.count("/")
    return output.replace("</head>", f'<script src="{up}{MERMAID}"></script></head>')
