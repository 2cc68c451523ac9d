"""A start that took over what an earlier run had learnt, recorded, and replayed to the same market state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import Batch, Channel, Kind, Market, MarketFacts, Status
from guard.pipeline import Pipeline
from guard.runtime import checkpoint
from guard.runtime.checkpoint import Entry, Kept
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.course import Course
from guard.runtime.keeper import Keeper, Rows
from guard.runtime.record import RecordedPipeline, recorder
from guard.runtime.replay import opened_tape
from guard.runtime.replay_recorded import RecordedReplay, recorded_pipeline

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")

S = 1_000_000
T0 = 1_700_000_000 * S
RULES = 'rules:\n  odd: {mode: alert, when: "vol_z(10s, baseline=10m) > 1", level: warning, clear: {when: score < 1}}\n'
FACTS = MarketFacts(Market("x", "A/USDT"), usd_rate=1.0, streams=frozenset({"trades"}))


def feed(pipeline: Pipeline, market: int, from_us: int, seconds: int, seed: int) -> None:
    chance = seeded_random(seed).random
    batch = Batch(1)
    batch.append(Kind.STATUS, market, at_us=from_us, received_us=from_us, side=Channel.TRADES, key=Status.LIVE)
    pipeline.process(batch)
    at_us = from_us
    while at_us < from_us + seconds * S:
        at_us += int(chance() * S)
        batch = Batch(1)
        price, amount = 100 + chance(), 1 + 10 * chance()
        batch.append(Kind.TRADE, market, at_us=at_us, received_us=at_us, price=price, amount=amount, side=1, key=at_us)
        pipeline.process(batch)


def sections(pipeline: Pipeline) -> dict[str, bytes]:
    kernel = pipeline.engine.kernel
    assert isinstance(kernel, Rows)
    return dict(kernel.sections(0))


async def never() -> bool:
    return False


@pytest.mark.parametrize("batch_rows", [1, 4096])
@pytest.mark.parametrize("leaves_out", [False, True])
def test_market_state_after_a_warm_start_is_that_of_the_run(tmp_path: Path, batch_rows: int, *, leaves_out: bool) -> None:
    report = Report()
    rules = rules_from_text(RULES, report)
    assert not report.errors
    earlier = Pipeline(compile_rules(rules))
    feed(earlier, earlier.open(FACTS), T0, 900, 1)
    entry = Entry(T0 + 900 * S, checkpoint.pack(Kept({}, sections(earlier))))
    run = RecordedPipeline(
        rules, compile_rules(rules), writer=recorder(tmp_path / "run.parquet", clock=SystemClock(), free_bytes=0)
    )
    row = run.open(FACTS)
    kernel = run.engine.kernel
    assert isinstance(kernel, Rows)

    def warmed(row: int, entry: Entry, layout: int, now_us: int) -> None:
        if not leaves_out:
            run.warmed(row, entry, layout=layout, now_us=now_us)

    keeper = Keeper(run, kernel, tmp_path / "checkpoint", clock=SystemClock(), committed=never, on_warm=warmed)
    assert keeper.give(row, entry, T0 + 930 * S)
    feed(run, row, T0 + 930 * S, 120, 2)
    assert run.finish()
    tape = opened_tape([tmp_path / "run.parquet"], exchange="x")
    course = Course(tape.course, tmp_path)
    replay = RecordedReplay(recorded_pipeline(course, jit=False), course, batch_rows=batch_rows, write=lambda _: None)
    replay.play(tape, clock=SystemClock())
    assert (sections(replay.pipeline) == sections(run)) is not leaves_out
