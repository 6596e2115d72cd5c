"""An independent grammar of Oracle's SQL: ANTLR's, as a parser from npm that Node.js runs."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Programs:
    """Node.js, and the folder with the parser's packages."""

    node: Path
    packages: Path


def syntax_errors(scripts: Sequence[str], programs: Programs) -> list[list[str]]:
    """Parse scripts, each as SQL*Plus would read it; give the errors of each, as ``line:column message``."""
    # from the command line, since a module finds its packages from where it lies
    command: list[str | Path] = [programs.node, "--input-type=module", "--eval", (HERE / "parse.mjs").read_text()]
    done = subprocess.run(
        command, input=json.dumps(scripts), cwd=programs.packages, capture_output=True, text=True, check=True
    )
    found: list[list[str]] = json.loads(done.stdout)
    return found
