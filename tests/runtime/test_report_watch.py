from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.dsl.modes import with_modes
from guard.model import Batch, Mode, RuleMode
from guard.model.aftermath import HORIZONS_US
from guard.pipeline import Pipeline, Settings
from guard.runtime.aftermaths import LATE_MAX_US, Aftermaths
from guard.runtime.report_watch import ReportWatch
from guard.store.past import PastStore, read_past
from guard_sim import tape

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import Program
    from guard.model import Decision

SYMBOLS = ["BTC/USDT", "MOON/USDT"]
RULES = load_rules(shipped_packs())
ENFORCED = compile_rules(RULES)
SHADOWED = compile_rules(with_modes(RULES, {"pump_dump": RuleMode.SHADOW}, why="a test"))


@pytest.fixture(scope="module")
def rows() -> list[tape.Row]:
    schedule = [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 62}]
    return list(tape.events(duration_s=95.0, history_s=86_400.0, symbols=SYMBOLS, schedule=schedule))


def played(rows: list[tape.Row], program: Program, mode: Mode) -> tuple[Pipeline, Decision]:
    pipeline = Pipeline(program, Settings(mode=mode, references={"sim": "BTC/USDT"}))
    for facts in tape.facts(symbols=SYMBOLS):
        pipeline.open(facts)
    batch = Batch(len(rows))
    for row in rows:
        columns = row._asdict()
        batch.append(columns.pop("kind"), columns.pop("market"), **columns)
    return pipeline, pipeline.process(batch)


@pytest.mark.parametrize(("mode", "bound"), [(Mode.ENFORCE, True), (Mode.OBSERVE, False)])
def test_a_block_is_followed_once_with_the_price_of_its_market(rows: list[tape.Row], mode: Mode, *, bound: bool) -> None:
    pipeline, decision = played(rows, ENFORCED, mode)
    aftermaths = Aftermaths(pipeline)
    (one,) = aftermaths.take(decision)
    assert (one.market, one.rule, one.bound) == ("sim:MOON/USDT", "pump_dump", bound)
    assert one.price is not None
    assert aftermaths.take(decision) == []


def test_what_a_rule_in_the_shadow_would_have_blocked_counts_as_would_be(rows: list[tape.Row]) -> None:
    pipeline, decision = played(rows, SHADOWED, Mode.ENFORCE)
    assert not decision.transitions
    (one,) = Aftermaths(pipeline).take(decision)
    assert (one.target, one.rule, one.bound) == ("sim:MOON/USDT", "pump_dump", False)


def test_prices_are_looked_at_when_due_and_not_long_after(rows: list[tape.Row]) -> None:
    pipeline, decision = played(rows, ENFORCED, Mode.ENFORCE)
    aftermaths = Aftermaths(pipeline)
    (one,) = aftermaths.take(decision)
    quarter, hour, day = (one.opened_us + horizon for horizon in HORIZONS_US)
    assert aftermaths.advance(quarter - 1) == []
    (seen,) = aftermaths.advance(quarter + LATE_MAX_US)
    assert seen.prices[0] == one.price or seen.prices[0] is not None
    (late,) = aftermaths.advance(hour + LATE_MAX_US + 1)
    assert (late.prices[1], late.closed) == (None, (True, True, False))
    (done,) = aftermaths.advance(day)
    assert all(done.closed)
    assert len(aftermaths) == 0


def test_a_restart_goes_on_with_what_is_not_finished(rows: list[tape.Row]) -> None:
    pipeline, decision = played(rows, ENFORCED, Mode.ENFORCE)
    first = Aftermaths(pipeline)
    (one,) = first.take(decision)
    (seen,) = first.advance(one.opened_us + HORIZONS_US[0])
    again = Aftermaths(pipeline)
    again.restore([seen])
    assert again.advance(one.opened_us + HORIZONS_US[1] - 1) == []
    (then,) = again.advance(one.opened_us + HORIZONS_US[1])
    assert then.prices[0] == seen.prices[0]
    assert then.closed == (True, True, False)


class MovedClock:
    """A clock that a test turns; it lets `sleep` end after the given number of turns."""

    def __init__(self, now_us: int, *, turns: int) -> None:
        self._now_us = now_us
        self._turns = turns
        self.is_over = asyncio.Event()

    def now_us(self) -> int:
        return self._now_us

    def monotonic_us(self) -> int:
        return self._now_us

    async def sleep(self, seconds: float) -> None:
        if self._turns == 0:
            self.is_over.set()
            await asyncio.Event().wait()
        self._turns -= 1
        self._now_us += int(seconds * 1e6)
        await asyncio.sleep(0)


async def _run(watch: ReportWatch, clock: MovedClock) -> None:
    task = asyncio.create_task(watch.run())
    await clock.is_over.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_run_leaves_blocks_prices_and_hours_in_its_file(rows: list[tape.Row], tmp_path: Path) -> None:
    pipeline, decision = played(rows, ENFORCED, Mode.ENFORCE)
    clock = MovedClock(decision.at_us, turns=200)
    store = PastStore(tmp_path / "past.sqlite", keep_us=90 * 86_400_000_000)
    watch = ReportWatch(pipeline, clock, store)
    watch.take(decision)
    watch.count("orders.refused", "mine|pump_dump", 2.0)
    await _run(watch, clock)
    (one,), sums = read_past(store.path, since_us=0)
    assert one.closed == (True, False, False)
    counted = {(each.what, each.name): 0.0 for each in sums}
    for each in sums:
        counted[each.what, each.name] += each.amount
    assert counted["orders.refused", "mine|pump_dump"] == 2.0
    assert counted["market_seconds", "sim"] == pytest.approx(2 * 199 * 5.0)
    assert watch.record()["failures"] == 0


async def test_a_file_that_cannot_be_used_is_counted_and_nothing_else_happens(rows: list[tape.Row], tmp_path: Path) -> None:
    pipeline, decision = played(rows, ENFORCED, Mode.ENFORCE)
    clock = MovedClock(decision.at_us, turns=8)
    (tmp_path / "past.sqlite").mkdir()
    watch = ReportWatch(pipeline, clock, PastStore(tmp_path / "past.sqlite", keep_us=1))
    watch.take(decision)
    await _run(watch, clock)
    record = watch.record()
    assert record["failures"] >= 2
    assert "past.sqlite" in record["problem"]
