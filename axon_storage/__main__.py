"""Runs the command ``axon-storage``, also as ``python -m axon_storage``. It needs the extra ``cli``."""

import sys


def main() -> None:
    """Run the command, or say what to install for it."""
    try:
        from axon_storage.cli import app  # noqa: PLC0415  # it imports packages that may not be installed
    except ModuleNotFoundError as missing:
        sys.exit(f'this command needs the module {missing.name}: pip install "axon-storage[cli]"')
    app()


if __name__ == "__main__":
    main()
