"""The command ``axon-storage``, and ``python -m axon_storage``; what it needs is an extra."""

import sys


def main() -> None:
    """Run the command, or say what to install for it."""
    try:
        from axon_storage.cli import app  # noqa: PLC0415  # it needs what may be missing
    except ModuleNotFoundError as missing:
        sys.exit(f'this command needs the module {missing.name}: pip install "axon-storage[cli]"')
    app()


if __name__ == "__main__":
    main()
