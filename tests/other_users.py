"""Run guard and its client as other users than the tests', wherever the checkout lies."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["handed", "interpreter", "passable"]


def interpreter() -> str:
    """Return a Python of this version that other users can run, in place of one in somebody's home."""
    own = Path(sys.executable).resolve()
    if all(path.stat().st_mode & 0o001 for path in (own, *own.parents)):
        return str(own)
    other = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    if other is None:
        pytest.skip("no Python of this version that other users can run")
    return other


@contextmanager
def handed(*folders: Path) -> Iterator[tuple[list[str], list[int]]]:
    """Open folders, so that other users find them by descriptor although a checkout may lie where they cannot pass."""
    descriptors = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
    try:
        yield [f"/proc/self/fd/{each}" for each in descriptors], descriptors
    finally:
        for each in descriptors:
            os.close(each)


@contextmanager
def passable() -> Iterator[Path]:
    """Make a folder that everybody may pass; those of pytest are shut for others by each run that begins."""
    with tempfile.TemporaryDirectory(prefix="guard-users-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
