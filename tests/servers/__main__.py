"""``python -m tests.servers [oracle-double]``: get the programs that the tests need and this machine lacks."""

import sys

from tests.servers.packages import install

for problem in install(double="oracle-double" in sys.argv):
    print(f"!! cannot be had here: {problem}")  # noqa: T201  # a command's output
