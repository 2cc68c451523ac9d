"""Random maintenance, tags, reloads and orders, recorded, and replayed to the same decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine import test_random_reloads as reloads
from engine.test_random_closings import ClosedLife
from engine.test_random_rules import MARKETS, S

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.engine import health
from guard.pipeline import Settings
from guard.runtime.clock import SystemClock
from guard.runtime.course import Course
from guard.runtime.lines import DecisionLog, lines_of
from guard.runtime.record import RecordedPipeline, recorder
from guard.runtime.replay import opened_tape
from guard.runtime.replay_recorded import RecordedReplay, recorded_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import Program
    from guard.model import Decision

pytest.importorskip("pyarrow")


class RecordedLife(ClosedLife):
    """A life whose pipeline is recorded from its first market on."""

    def record(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def learnt(text: str) -> Program:
            rules = rules_from_text("rules:\n" + text, Report())
            pipeline.learn(rules)
            return compile_rules(rules)

        first = rules_from_text("rules:\n" + self.first, Report())
        writer = recorder(path, clock=SystemClock(), free_bytes=0)
        self.pipeline = pipeline = RecordedPipeline(first, compile_rules(first), Settings(), writer=writer)
        for facts in MARKETS:
            pipeline.open(facts)
        monkeypatch.setattr(reloads, "program", learnt)
        self.log = DecisionLog()
        self.run(restores=False)
        assert pipeline.finish()

    def take(self, decision: Decision) -> None:
        for line in lines_of(decision):
            self.log.write(line)


@pytest.mark.parametrize("seed", [3, 8, 21])
def test_closings_replayed_as_recorded_decide_the_same(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SETTLE_US", 4 * S)
    path = tmp_path / "run.parquet"
    life = RecordedLife(seed)
    life.record(path, monkeypatch)
    for batch_rows in (1, 4096):
        opened = opened_tape([path], exchange="x")
        course = Course(opened.course, path)
        replay = RecordedReplay(recorded_pipeline(course, jit=False), course, batch_rows=batch_rows, write=lambda _: None)
        assert replay.play(opened, clock=SystemClock())["digest"] == life.log.digest
