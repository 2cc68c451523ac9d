"""The kernel's loop in C: the same bits as the kernel's own."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from bench.compiled import library
from bench.twin import Twin, header

from guard.runtime.bench.plan import Behind
from guard.runtime.bench.state import upkeep
from guard.runtime.bench.subject import fold
from guard.runtime.bench.workload import Markets, batches, stream, typed

SOURCE = Path(__file__).parents[2] / "bench" / "twin.c"
needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None and shutil.which("clang") is None, reason="no C compiler here")
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed: only the plain form runs here")


@needs_compiler
@pytest.mark.parametrize("is_jitted", [False, pytest.param(True, marks=needs_numba)], ids=["plain", "jitted"])
def test_rows_are_bitwise_those_of_the_kernel(*, is_jitted: bool) -> None:
    markets = Markets(30)
    # Slow enough for hours to pass: baselines close their bins, totals begin anew, quiet markets fall silent.
    columns = stream(markets, 40_000, per_second=4.0)
    kernel = upkeep(markets, is_jitted=is_jitted, behind=Behind(20, minutes=0))()
    twin = Twin(library(SOURCE, headers={"slots.h": header()}), kernel)
    rows = batches(columns, columns.rows)
    looked = fold(kernel, rows if is_jitted else [batch.plain() for batch in rows])
    assert twin.run(columns) == columns.rows
    for row in range(markets.count):
        x, i = kernel._rows.row(row)
        assert np.array(x).tobytes() == twin.x[row].tobytes()
        assert i == twin.i[row].tolist()
    assert twin.control.tolist()[6:10] == list(kernel._rows.control)[6:10]
    assert looked > 0


@needs_compiler
def test_what_the_twin_does_not_know_ends_it() -> None:
    markets = Markets(2)
    columns = stream(markets, 10, per_second=50.0)
    strange = typed(**{**columns._asdict(), "kind": np.where(np.arange(10) == 7, 4, columns.kind)})
    kernel = upkeep(markets, behind=Behind(10, minutes=0))()
    assert Twin(library(SOURCE, headers={"slots.h": header()}), kernel).run(strange) == 7
