"""Runs the command ``axon-storage``, also as ``python -m axon_storage``. It needs the extra ``cli``."""

import sys


def main() -> None:
    """Run the command. If a module is missing, exit with a message that says what to install."""
    try:
        from axon_storage.cli import app  # noqa: PLC0415  # it imports packages that may not be installed
    except ModuleNotFoundError as missing:
        sys.exit(f'this command needs the module {missing.name}: pip install "axon-storage[cli]"')
    app()


if __name__ == "__main__":
    main()
