"""The example package of docs/actions.md, built and installed by pip into a folder of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["EXAMPLE", "PAGE", "install"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "actions.md"
EXAMPLE = ROOT / "docs" / "examples" / "guard_notebook"


def install(folder: Path) -> Path:
    """Build the example and return the folder that has to be on Python's path."""
    pytest.importorskip("hatchling", reason="building needs the extra dev")
    pytest.importorskip("pip", reason="the environment has no installer of its own")
    source, site = folder / "source", folder / "site"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, *words, "--target", str(site), str(source)], check=True, capture_output=True)
    return site


def listed(text: str) -> str:
    """Return the example's name as the page writes it."""
    (name,) = re.findall(r'^"([\w.]+)" = "guard_notebook:Append"$', text, re.MULTILINE)
    return str(name)
