"""An independent grammar of Oracle's SQL: that of ANTLR, in a parser from npm for Node.js."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Programs:
    """Node.js, and the directory with the parser's packages."""

    node: Path
    packages: Path


def syntax_errors(scripts: Sequence[str], programs: Programs) -> list[list[str]]:
    """Parse scripts as SQL*Plus reads them; return the errors of each, as ``line:column message``."""
    # on the command line, because a module file would look for packages in its own directory
    command: list[str | Path] = [programs.node, "--input-type=module", "--eval", (HERE / "parse.mjs").read_text()]
    done = subprocess.run(
        command, input=json.dumps(scripts), cwd=programs.packages, capture_output=True, text=True, check=True
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found
