"""The step that compiles C for the bench."""

from __future__ import annotations

import ctypes
import shutil
from typing import TYPE_CHECKING

import pytest
from bench.compiled import NoCompilerError, library

from guard.runtime.bench.chance import Chance

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
double madd(const double *x, const double *y, long n) {
    double sum = 0.1;
    for (long i = 0; i < n; i++) sum = sum * y[i] + x[i];
    return sum;
}
"""
needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("clang") is None, reason="no C compiler here")


@needs_compiler
def test_products_and_sums_are_rounded_as_python_rounds_them(tmp_path: Path) -> None:
    (tmp_path / "twin.c").write_text(SOURCE)
    madd = library(tmp_path / "twin.c").madd
    madd.restype = ctypes.c_double
    x, y = Chance(1).uniform(10_000).tolist(), Chance(2).uniform(10_000).tolist()
    total = 0.1
    for a, b in zip(x, y, strict=True):
        total = total * b + a
    numbers = ctypes.c_double * len(x)
    assert madd(numbers(*x), numbers(*y), ctypes.c_long(len(x))) == total


@needs_compiler
def test_source_that_does_not_compile_says_where(tmp_path: Path) -> None:
    (tmp_path / "twin.c").write_text("double f(void) { return nothing; }")
    with pytest.raises(NoCompilerError, match=r"twin\.c:1:\d+: error"):
        library(tmp_path / "twin.c")


def test_machine_without_a_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCompilerError, match="none of gcc, clang, cc"):
        library(tmp_path / "twin.c")
