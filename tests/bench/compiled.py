"""C at bench time: a source file, compiled by whatever C compiler is here, as a library for ctypes.

``-ffp-contract=off`` keeps the compiler from fusing a product and a sum, so that C gives the bits that Python gives.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FLAGS", "NoCompilerError", "library"]

FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")
COMPILERS = ("gcc", "clang", "cc")


class NoCompilerError(Exception):
    """There is no C compiler here, or it refuses the source; says what it said."""


def library(source: Path, *, flags: tuple[str, ...] = FLAGS, headers: Mapping[str, str] | None = None) -> ctypes.CDLL:
    """Compile a source file and load it; `headers` are texts that it includes by name. Raises NoCompilerError."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        raise NoCompilerError(f"no C compiler: none of {', '.join(COMPILERS)} is on PATH")
    # Loaded at once, so the file may go.
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as folder:
        built = Path(folder) / f"{source.stem}.so"
        for name, text in (headers or {}).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            [compiler, *flags, "-I", folder, "-o", str(built), str(source), "-lm"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoCompilerError(f"{compiler} ended with code {done.returncode}: {done.stderr.strip()[:500]}")
        return ctypes.CDLL(str(built))
