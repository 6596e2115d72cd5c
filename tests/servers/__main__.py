"""``python -m tests.servers``: get the programs that the tests need and this machine lacks."""

from tests.servers.packages import install

for problem in install():
    print(f"!! cannot be had here: {problem}")  # noqa: T201  # a command's output
