"""What a restart takes over and what it must not: no hole is calm, no level without its quarantine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import MovedClock
from features.streams import SECOND, START, Row, feed, read
from features.test_state import every_leaf, sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime.feeds import A
from runtime.test_live import program

from guard.features.kernel import Kernel
from guard.features.tables import Leaf
from guard.model import BUY, Batch, Channel, IsolationState, Kind, Level, Market, MarketFacts, Quarantine, Status
from guard.model.ports import LedgerState
from guard.pipeline import Pipeline
from guard.runtime import checkpoint
from guard.runtime.keeper import Keeper, Rows, longest_us

if TYPE_CHECKING:
    from pathlib import Path

MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND
RULES = (
    "rules:\n"
    "  busy: {mode: enforce, when: trades(10s) >= 3, for: 20s, clear: {when: trades(10s) < 3, for: 60s}, level: danger,\n"
    "         actions: {danger: [alert, quarantine]}}\n"
    "  told: {mode: alert, when: trades(10s) >= 3, clear: {when: trades(10s) < 3, for: 60s}, level: warning,\n"
    "         actions: {warning: [alert]}}\n"
    "  slow: {mode: alert, when: 'volume(1h) > 1e9 or vol_z(60s, baseline=6h) > 50', level: warning, actions: {warning: [alert]}}\n"
)
FACTS = MarketFacts(A, streams=frozenset({"trades"}), usd_rate=1.0, volume_24h_usd=5e6)


class Run:
    """One life of a pipeline with a keeper, on a clock that a test moves."""

    def __init__(self, folder: Path, *, now_us: int = START, text: str = RULES, ledger: tuple[Quarantine, ...] = ()) -> None:
        self.clock = MovedClock(now_us)
        self.is_committed = True
        self.pipeline = Pipeline(program(text))
        self.pipeline.engine.kernel = Kernel(self.pipeline.engine.program.leaves)
        self.pipeline.recall(LedgerState(1, 0, ledger, ()), now_us)
        self.keeper = Keeper(self.pipeline, self.kernel, folder / "checkpoint", clock=self.clock, committed=self._committed)
        self.keeper.open()

    async def _committed(self) -> bool:
        return self.is_committed

    @property
    def kernel(self) -> Any:  # noqa: ANN401 - the tests look at what is not public
        return self.pipeline.engine.kernel

    def open(self, facts: MarketFacts = FACTS) -> bool:
        return self.keeper.warm(self.pipeline.open(facts))

    def put(self, kind: int, at_us: int, *, row: int = 0, price: float = 0.0, key: int = 0, side: int = 0) -> list[Any]:
        batch = Batch(1)
        batch.append(kind, row, at_us=at_us, received_us=at_us, price=price, amount=1.0, side=side, key=key)
        self.clock._now_us = max(self.clock._now_us, at_us)
        decision = self.pipeline.process(batch)
        return [*decision.verdicts, *decision.transitions]

    def live(self, at_us: int) -> None:
        self.put(Kind.STATUS, at_us, side=Channel.TRADES, key=Status.LIVE)

    def trades(self, begin_us: int, end_us: int, *, step_us: int = SECOND, price: float = 100.0) -> list[Any]:
        return [told for at_us in range(begin_us, end_us, step_us) for told in self.put(Kind.TRADE, at_us, price=price, side=BUY)]

    def value(self, leaf: Leaf, at_us: int) -> float:
        return read(self.kernel, at_us)[str(leaf)]

    def levels(self) -> list[Level]:
        return [episode.level for episode in self.pipeline.engine.watched[0].episodes]


VOLUME, SHORT, MEDIAN = Leaf("volume", (HOUR,)), Leaf("trades", (10 * SECOND,)), Leaf("minute_median", (6 * HOUR,))


@settings(max_examples=25, deadline=None)
@given(sessions(), st.data())
def test_sections_through_the_file_go_on_bit_for_bit(rows: list[Row], data: st.DataObject) -> None:
    leaves = every_leaf()
    whole, first, second = Kernel(leaves), Kernel(leaves), Kernel(leaves)
    for kernel in (whole, first, second):
        kernel.open(MarketFacts(Market("sim", "X/USDT")))
    cut = data.draw(st.integers(0, len(rows)))
    due = feed(whole, rows)
    feed(first, rows[:cut])
    body = checkpoint.pack(checkpoint.Kept({}, dict(first.sections(0))))
    second.take(0, checkpoint.unpack(body).sections)
    assert second.sections(0) == first.sections(0)
    assert feed(second, rows[cut:]) == due[cut:]
    assert second.sections(0) == whole.sections(0)
    at_us = rows[-1].at_us + 3 * SECOND
    assert repr(read(second, at_us)) == repr(read(whole, at_us))


def test_a_kernel_that_cannot_be_copied_row_by_row_is_told_apart() -> None:
    assert isinstance(Kernel([SHORT]), Rows)


def test_the_longest_duration_of_the_rules_is_how_long_a_copy_is_of_use() -> None:
    assert longest_us([VOLUME, SHORT, MEDIAN, Leaf("depth", (0.02, "both"))]) == 6 * HOUR
    assert longest_us([Leaf("price")]) == 0


async def kept_after_hours(folder: Path) -> tuple[int, float, float]:
    """Let a guard learn for seven hours and stop; returns when, and what it knew."""
    run = Run(folder)
    run.open()
    run.live(START)
    end_us = START + 7 * HOUR
    run.trades(START, end_us, step_us=30 * SECOND)
    volume, median = run.value(VOLUME, end_us), run.value(MEDIAN, end_us)
    run.pipeline.advance(end_us)
    await run.keeper.keep()
    assert run.keeper.health.failures == 0
    return end_us, volume, median


async def test_long_windows_and_baselines_survive_and_nothing_is_scored_across_the_hole(tmp_path: Path) -> None:
    end_us, volume, median = await kept_after_hours(tmp_path)
    assert volume == pytest.approx(120, abs=5)
    back_us = end_us + 2 * MINUTE
    run = Run(tmp_path, now_us=back_us)
    assert run.open()
    assert run.keeper.health.restored == 1
    assert run.keeper.health.restored_age_us == 2 * MINUTE
    assert math.isnan(run.value(VOLUME, back_us))
    assert run.pipeline.view(0).data == "warming"
    run.live(back_us)
    assert run.value(VOLUME, back_us + SECOND) == pytest.approx(volume, abs=6)
    assert math.isnan(run.value(SHORT, back_us + 9 * SECOND))
    assert run.value(SHORT, back_us + 10 * SECOND) == 0.0
    assert run.value(MEDIAN, back_us + 10 * SECOND) == median
    assert run.kernel.coverage(0, HOUR) == pytest.approx(58 / 60, abs=0.02)


async def test_a_hole_longer_than_a_tenth_of_a_window_makes_it_unknown(tmp_path: Path) -> None:
    end_us, _, median = await kept_after_hours(tmp_path)
    back_us = end_us + 30 * MINUTE
    run = Run(tmp_path, now_us=back_us)
    assert run.open()
    run.live(back_us)
    assert math.isnan(run.value(VOLUME, back_us + 20 * MINUTE))
    assert run.value(MEDIAN, back_us + 30 * SECOND) == median


@pytest.mark.parametrize("off_us", [7 * HOUR, -SECOND])
async def test_a_copy_that_is_too_old_or_from_the_future_starts_cold(tmp_path: Path, off_us: int) -> None:
    end_us, _, _ = await kept_after_hours(tmp_path)
    run = Run(tmp_path, now_us=end_us + off_us)
    assert not run.open()
    run.live(end_us + off_us)
    assert math.isnan(run.value(MEDIAN, end_us + off_us + SECOND))
    assert run.keeper.health.restored == 0


async def test_what_the_exchange_tells_today_stands_over_what_was_kept(tmp_path: Path) -> None:
    when = "volume_24h_usd() > 1e12 or volume(1h) > 1e12"
    text = f"rules: {{rich: {{mode: alert, when: '{when}', level: warning, actions: {{warning: [alert]}}}}}}"
    run = Run(tmp_path, text=text)
    run.open()
    run.trades(START, START + MINUTE)
    await run.keeper.keep()
    after = Run(tmp_path, now_us=START + MINUTE, text=text)
    assert after.open(FACTS._replace(volume_24h_usd=7e6))
    assert after.value(Leaf("volume_24h_usd"), START + MINUTE) == 7e6


# Episodes.


async def test_a_condition_does_not_hold_while_nobody_looked(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.open()
    run.live(START)
    run.trades(START, START + 22 * SECOND)
    assert run.levels() == [Level.NORMAL, Level.WARNING, Level.NORMAL]
    await run.keeper.keep()
    back_us = START + 10 * MINUTE
    after = Run(tmp_path, now_us=back_us)
    assert after.open()
    after.live(back_us)
    assert after.levels() == [Level.NORMAL, Level.WARNING, Level.NORMAL]
    told = after.trades(back_us, back_us + 14 * SECOND)
    assert told == []
    told = after.trades(back_us + 14 * SECOND, back_us + 40 * SECOND)
    assert [(verdict.rule, verdict.level) for verdict in told[:1]] == [("busy", Level.DANGER)]


async def fired(folder: Path) -> tuple[int, Quarantine]:
    run = Run(folder)
    run.open()
    run.live(START)
    told = run.trades(START, START + 40 * SECOND)
    (transition,) = [each for each in told if hasattr(each, "quarantine")]
    await run.keeper.keep()
    return START + 40 * SECOND, transition.quarantine


async def test_a_level_whose_quarantine_the_ledger_holds_goes_on(tmp_path: Path) -> None:
    end_us, quarantine = await fired(tmp_path)
    assert quarantine.state is IsolationState.QUARANTINED
    after = Run(tmp_path, now_us=end_us + MINUTE, ledger=(quarantine,))
    assert after.open()
    assert after.levels()[0] is Level.DANGER
    after.live(end_us + MINUTE)
    assert after.trades(end_us + MINUTE, end_us + 2 * MINUTE) == []


async def test_a_level_whose_quarantine_never_reached_the_ledger_fires_anew(tmp_path: Path) -> None:
    end_us, _ = await fired(tmp_path)
    after = Run(tmp_path, now_us=end_us + MINUTE)
    assert after.open()
    assert after.levels()[:2] == [Level.NORMAL, Level.WARNING]
    after.live(end_us + MINUTE)
    told = after.trades(end_us + MINUTE, end_us + 2 * MINUTE)
    assert [each.quarantine.state for each in told if hasattr(each, "quarantine")] == [IsolationState.QUARANTINED]


async def test_a_rule_that_changed_starts_its_episode_anew_and_the_others_go_on(tmp_path: Path) -> None:
    end_us, quarantine = await fired(tmp_path)
    after = Run(tmp_path, now_us=end_us + MINUTE, ledger=(quarantine,), text=RULES.replace("for: 20s", "for: 21s"))
    assert after.open()
    assert after.levels() == [Level.NORMAL, Level.WARNING, Level.NORMAL]
