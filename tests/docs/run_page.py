"""Run the blocks of one page in order: ``run_page.py BLOCKS``, a JSON file, in an empty directory.

The Python blocks share one namespace. A block with a title is written to the file of that name, and a command uses it
later. A block with the title "Output" is what the block before it printed; ``...`` stands for anything.
"""

import json
import subprocess
import sys
from contextlib import redirect_stdout
from doctest import ELLIPSIS, OutputChecker
from io import StringIO
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the blocks; exit with 1 at the first one that fails or whose output differs from the page."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for language, attributes, code in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        title = attributes.get("title")
        if title == "Output":
            if not OutputChecker().check_output(code, printed, ELLIPSIS):
                sys.exit(f"the page says\n{code}\nand the output is\n{printed}")
        elif title:
            Path(title).write_text(code, encoding="utf-8")
        elif language == "python":
            printed = _python(code, namespace)
        else:
            printed = _command(code)


def _python(code: str, namespace: dict[str, Any]) -> str:
    with redirect_stdout(StringIO()) as printed:
        exec(compile(code, "<page>", "exec"), namespace)  # noqa: S102  # the page's own code
    return printed.getvalue()


def _command(code: str) -> str:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{code}\nfailed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
