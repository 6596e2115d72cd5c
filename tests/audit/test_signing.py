"""The package cryptography is optional."""

import subprocess
import sys
from pathlib import Path

import pytest

from axon_storage import InvalidArgumentError
from axon_storage.audit import seal


def test_cryptography_is_imported_only_for_a_key() -> None:
    code = "import sys, axon_storage.audit; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_without_cryptography_a_key_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(InvalidArgumentError, match=r'pip install "axon-storage\[signing\]"'):
        await seal(f"sqlite:///{tmp_path}/agents.db", signing_key=keys[0])
