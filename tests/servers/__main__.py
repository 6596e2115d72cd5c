"""``python -m tests.servers``: install the server programs that the tests need and this machine lacks."""

from tests.servers.packages import install

for problem in install():
    print(f"!! not available here: {problem}")  # noqa: T201  # a command's output
