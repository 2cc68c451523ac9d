"""Where compiled code of the kernel is kept, and whether it is there; numba is not loaded for that."""

from __future__ import annotations

import platform
import sys
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final

import platformdirs

__all__ = ["FUNCTIONS", "cache_folder", "is_warm"]

FUNCTIONS: Final = "functions"
"""The file of the kernel's functions that machine code for rules is made of."""

_CPU: Final = Path("/proc/cpuinfo")
_TELLING: Final = ("model name", "flags", "Features", "CPU part")


@cache
def cache_folder() -> Path:
    """Return where compiled code is kept: one folder for each version of the kernel, of numba, of Python, and for each processor.

    Raises PackageNotFoundError where numba is not installed.
    """
    digest = blake2b(digest_size=8)
    package = Path(__file__).parent
    for path in [*sorted(package.glob("*.py")), package.parent / "fields.py"]:
        digest.update(path.read_bytes())
    # numba takes code of another file, or for another processor, for none.
    entry = (package / "jit.py").stat()
    digest.update(f"{entry.st_mtime_ns} {entry.st_size} {package} {_processor()}".encode())
    name = f"{digest.hexdigest()}-numba{version('numba')}-py{sys.version_info.major}{sys.version_info.minor}"
    return Path(platformdirs.user_cache_dir("guard")) / "kernel" / name


def is_warm() -> bool:
    """Whether the kernel need not be compiled any more."""
    folder = cache_folder()
    return (folder / FUNCTIONS).exists() and all(any(folder.rglob(f"*.{kind}")) for kind in ("nbi", "nbc"))


def _processor() -> str:
    try:
        lines = _CPU.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return " ".join(line for line in lines if line.startswith(_TELLING))
