"""The kernel that was built ahead of time: the same decisions, the same state to the last byte as in Python."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from engine.streams import batches, fresh, in_python, stream

from guard.features.kernel import built, source
from guard.features.kernel.built import BuiltRows
from guard.features.kernel.rows import PlainRows, made_rows
from guard.runtime.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.pipeline import Pipeline
    from guard_sim.tape import Row

MINUTE_US = 60_000_000
KERNEL = Path(built.__file__).parent
ROOTS = {"drive", "leaves"}

is_built = pytest.mark.skipif(built.functions() is None, reason="the kernel is not built: python hatch_build.py")


def told(pipeline: Pipeline, rows: Sequence[Row], size: int) -> list[str]:
    decisions = [pipeline.process(batch) for batch in batches(rows, size)]
    return [json.dumps(record, sort_keys=True) for decision in decisions for record in lines_of(decision)]


def in_pure_python() -> Pipeline:
    with in_python():
        pipeline = fresh(jit=False)
    assert type(pipeline.engine.kernel._rows) is PlainRows
    return pipeline


def as_built() -> Pipeline:
    pipeline = fresh(jit=False)
    assert type(pipeline.engine.kernel._rows) is BuiltRows
    return pipeline


@is_built
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 7, 1024])
def test_it_decides_and_keeps_what_python_does(seed: int, size: int) -> None:
    ours, theirs = as_built(), in_pure_python()
    lines = told(ours, stream(seed), size)
    assert any('"quarantine"' in line for line in lines)
    assert lines == told(theirs, stream(seed), 1024)
    for pipeline in (ours, theirs):
        pipeline.advance(pipeline.now_us + 10 * MINUTE_US)
    assert json.dumps(ours.save()) == json.dumps(theirs.save())


@is_built
@pytest.mark.parametrize("begins_built", [False, True])
def test_a_state_goes_on_in_the_other_form(*, begins_built: bool) -> None:
    rows = stream(2)
    cut = len(rows) * 2 // 3
    first, then, whole = as_built(), in_pure_python(), in_pure_python()
    if not begins_built:
        first, then = then, first
    told(first, rows[:cut], 100)
    then.restore(json.loads(json.dumps(first.save())))
    assert told(whole, rows[:cut], 100)
    assert told(then, rows[cut:], 100) == told(whole, rows[cut:], 100)
    assert json.dumps(then.save()) == json.dumps(whole.save())


@is_built
def test_a_market_that_nobody_opened_is_an_error() -> None:
    pipeline = as_built()
    row = stream(1)[0]._replace(market=99)
    with pytest.raises(IndexError, match="never opened"):
        told(pipeline, [row], 1)


@pytest.mark.parametrize("found", [SimpleNamespace(DIGEST="of another source"), SimpleNamespace(), ImportError("no such package")])
def test_what_was_built_of_another_source_or_not_at_all_is_not_taken(found: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(_name: str) -> object:
        if isinstance(found, ImportError):
            raise found
        return found

    monkeypatch.setattr(built, "import_module", imported)
    built.functions.cache_clear()
    try:
        assert built.functions() is None
        assert type(made_rows(jit=False)) is PlainRows
        with pytest.raises(RuntimeError, match="not built"):
            BuiltRows()
    finally:
        built.functions.cache_clear()


def imports(name: str) -> Iterator[str]:
    """Yield the kernel's modules that a module needs when it runs."""
    for node in ast.parse((KERNEL / f"{name}.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("guard.features.kernel"):
            tail = node.module.removeprefix("guard.features.kernel").removeprefix(".")
            yield from [tail] if tail else (each.name for each in node.names)


def test_all_that_the_loop_needs_is_built_and_nothing_else() -> None:
    needed, waiting = set(ROOTS), list(ROOTS)
    while waiting:
        new = set(imports(waiting.pop())) - needed
        needed |= new
        waiting += new
    assert needed == set(source.MODULES)
