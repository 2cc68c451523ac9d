"""Machine code for rules, made beside a pipeline that runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine.streams import batches, fresh, stream

from guard.runtime.native import NativeRules

if TYPE_CHECKING:
    from guard.pipeline import Pipeline

native = pytest.importorskip("guard.features.kernel.native", reason="numba is not installed: nothing can be compiled")


def fed(pipeline: Pipeline, rules: NativeRules) -> Pipeline:
    for batch in batches(stream(1), 256):
        rules.poll()
        pipeline.process(batch)
    rules.close()
    return pipeline


def test_it_is_made_while_events_go_on_and_the_state_is_that_of_the_machine() -> None:
    alone = fresh(jit=True)
    for batch in batches(stream(1), 256):
        alone.process(batch)
    helped = fresh(jit=True)
    assert fed(helped, NativeRules(helped)).save() == alone.save()
    assert helped.native_screens() is None
    assert alone.native_screens() is not None


def test_it_is_made_no_more_often_than_asked_for() -> None:
    pipeline = fresh(jit=True)
    assert fed(pipeline, NativeRules(pipeline, most=0)).native_screens() is not None


def test_what_fails_is_told_once_and_leaves_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("no room for code")

    monkeypatch.setattr(native, "compiled", broken)
    monkeypatch.setattr(native, "read", lambda _path: None)
    pipeline = fresh(jit=True)
    assert fed(pipeline, NativeRules(pipeline)).native_screens() is not None
    assert capsys.readouterr().out.count("no room for code") == 1
