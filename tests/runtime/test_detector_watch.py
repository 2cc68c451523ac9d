"""Plain detectors of a running guard: what they cost is shown, and one that fails or is slow is switched off, once and loudly."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import MovedClock, settle
from detection.own import MARKETS, compiled, detector, steep
from runtime.feeds import Script
from runtime.test_live import Bench, bench, told

from guard.model import BUY, Batch, Kind
from guard.pipeline import Pipeline, Settings
from guard.runtime.clock import SystemClock
from guard.runtime.detector_watch import Limits
from guard.runtime.lines import lines_of
from guard.runtime.replay import Replay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from guard.model import Decision

TITLE = "[DANGER] guard: the detector mine was switched off"


class World:
    """A running guard with one market that trades when a test says so."""

    def __init__(self, at_work: Bench, clock: MovedClock) -> None:
        self.live = at_work.live
        self.clock = clock

    async def trade(self, times: int = 1, *, price: float = 50.0, every_s: float = 0.1) -> None:
        """Print, and let the pipeline take each print by itself."""
        for _ in range(times):
            await self.clock.advance(every_s)
            now_us = self.clock.now_us()
            self.live.inlet.append(Kind.TRADE, 0, at_us=now_us, received_us=now_us, price=price, amount=1.0, side=BUY)
            await settle(3)

    @property
    def record(self) -> dict[str, Any]:
        (record,) = self.live.detectors.records()
        return record


@asynccontextmanager
async def world(folder: Path, kind: type, *, decided: Callable[[Decision], None] = lambda _: None) -> AsyncIterator[World]:
    clock = MovedClock()
    async with bench(folder, clock=clock, on_decision=decided) as at_work:
        found = World(at_work, clock)
        live = at_work.live
        live.swap(compiled(kind))
        task = asyncio.create_task(at_work.feed(Script()).run())
        await settle(60)
        try:
            # Windows of 10 s are covered then.
            await found.trade(12, every_s=1.0)
            yield found
        finally:
            task.cancel()


class Act:
    """A score that changes in the middle of a test."""

    def __init__(self) -> None:
        self.does: Callable[[Any], Any] = steep

    def __call__(self, features: Any) -> Any:  # noqa: ANN401 - whatever a test wants
        return self.does(features)


@pytest.fixture
def act() -> Act:
    return Act()


async def test_cost_and_state_of_every_detector_are_shown(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        before = at.record["calls"]

        def takes_20_us(features: Any) -> float:  # noqa: ANN401 - a named tuple
            at.clock._now_us += 20
            return steep(features)

        act.does = takes_20_us
        await at.trade(before)
        assert at.record == {
            "detector": "mine", "calls": 2 * before, "mean_us": 10.0, "slowest_us": 20, "faults": 0, "fault": None,
            "state": "active", "why": None,
        }  # fmt: skip
        assert told(at.live) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: 1 // 0, "ZeroDivisionError"),
        (lambda _: 1.5, "its score must lie in [0, 1], found 1.5"),
        (lambda _: "high", "ValueError"),
        (lambda _: float("-inf"), "found -inf"),
    ],
)
async def test_three_faults_in_a_row_switch_it_off_and_tell_once(
    tmp_path: Path, act: Act, answer: Callable[[Any], Any], words: str
) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = answer
        await at.trade(2)
        assert at.record["state"] == "active"
        assert at.record["faults"] == 2
        await at.trade(20)
        assert at.record["state"] == "demoted"
        assert at.record["faults"] == 3
        assert at.record["why"].startswith("3 calls in a row failed: ")
        assert words in at.record["why"]
        assert told(at.live) == [TITLE]
        assert at.live.pipeline.engine.demoted == ("mine",)


@pytest.mark.parametrize("answer", [None, float("nan")])
async def test_a_detector_that_cannot_tell_is_not_at_fault(tmp_path: Path, act: Act, answer: float | None) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = lambda _: answer
        await at.trade(50)
        assert at.record["state"] == "active"
        assert at.record["faults"] == 0


async def test_unknown_features_cost_no_call(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        before = at.record["calls"]
        await at.clock.advance(1)
        now_us = at.clock.now_us()
        at.live.inlet.append(Kind.GAP, 0, at_us=now_us, received_us=now_us, side=1, key=now_us - 1)
        act.does = lambda _: 1 // 0
        await at.trade(50)
        assert at.record["calls"] == before
        assert at.record["state"] == "active"


async def test_ten_faults_within_an_hour_switch_it_off_though_others_succeed_between(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = lambda features: 2.0 if features.price > 60 else 0.0
        for number in range(10):
            assert at.record["state"] == "active", number
            await at.trade(price=70.0)
            await at.trade(price=50.0)
        assert at.record["why"].startswith("10 calls within an hour failed")


async def test_ten_faults_in_more_than_an_hour_are_shown_only(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = lambda features: 2.0 if features.price > 60 else 0.0
        for _ in range(12):
            await at.trade(price=70.0, every_s=410)
            await at.trade(price=50.0)
        assert at.record["state"] == "active"
        assert at.record["faults"] == 12


def slow(clock: MovedClock, us: int) -> Callable[[Any], float]:
    def answer(_: Any) -> float:  # noqa: ANN401 - a named tuple
        clock._now_us += us
        return 0.0

    return answer


async def test_a_mean_above_its_budget_switches_it_off_after_enough_calls(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = slow(at.clock, 60)
        need = Limits().calls - at.record["calls"]
        await at.trade(need - 1)
        assert at.record["state"] == "active"
        await at.trade(2)
        assert at.record["state"] == "demoted"
        assert at.record["why"].endswith("us each; 50 us is the most")


async def test_a_mean_within_its_budget_never_does(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = slow(at.clock, 50)
        await at.trade(450)
        assert at.record["state"] == "active"


async def test_one_call_that_takes_too_long_switches_it_off(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = slow(at.clock, 50_000)
        await at.trade()
        assert at.record["state"] == "active"
        act.does = slow(at.clock, 50_001)
        await at.trade()
        assert at.record["why"] == "one call took 50 ms; 50 ms is the most"


async def test_it_is_switched_off_before_rows_that_wait_are_taken(tmp_path: Path, act: Act) -> None:
    async with world(tmp_path, detector(act)) as at:
        live = at.live
        live.inlet._limits = live.inlet._limits._replace(turn_us=0)
        act.does = slow(at.clock, 60_000)
        calls = at.record["calls"]
        now_us = at.clock.now_us()
        for number in range(2_000):
            at_us = now_us + number * 100_000
            live.inlet.append(Kind.TRADE, 0, at_us=at_us, received_us=at_us, price=50.0, amount=1.0, side=BUY)
        oldest_us = now_us
        while at.record["state"] == "active":
            oldest_us = live.inlet.oldest_us or 0
            await asyncio.sleep(0)
        assert live.inlet.waiting > 0
        assert live.pipeline.now_us <= (live.inlet.oldest_us or oldest_us)
        # One slice of the four: what was being taken when the first slow call came back.
        assert at.record["calls"] - calls <= 2 * live.inlet._limits.slice_rows
        before = at.record["calls"]
        await settle(60)
        assert live.inlet.waiting == 0
        assert at.record["calls"] == before


async def test_reload_keeps_it_off_and_says_so_and_another_class_is_asked_again(
    tmp_path: Path, act: Act, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = detector(act)
    async with world(tmp_path, kind) as at:
        act.does = lambda _: 1 // 0
        await at.trade(5)
        why = at.record["why"]
        at.live.swap(compiled(kind))
        assert (at.record["state"], at.record["why"]) == ("demoted", why)
        assert "stays switched off" in caplog.text + capsys.readouterr().out
        at.live.swap(compiled(detector(act)))
        assert at.record["state"] == "active"
        assert told(at.live) == [TITLE, "[NORMAL] guard: the detector mine is asked again"]


async def test_a_failure_while_switching_off_ends_guard(tmp_path: Path, act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, detector(act)) as at:
        act.does = lambda _: 1 // 0

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("no alert desk")

        monkeypatch.setattr(at.live.pipeline.alerts, "system", broken)
        await at.trade(5)
        with pytest.raises(RuntimeError, match="no alert desk"):
            await at.live.heartbeat()


class Tape:
    """What a running pipeline got, as a recording gives it back."""

    def __init__(self, batches: list[Batch]) -> None:
        self.rejected: dict[str, int] = {}
        self.examples: list[str] = []
        self.holes: list[dict[str, Any]] = []
        self.repeated = 0
        self._batches = batches

    def batches(self, rows_max: int) -> Any:  # noqa: ANN401 - an iterator
        whole = Batch(sum(map(len, self._batches)))
        for each in self._batches:
            whole.extend(each, 0, len(each))
        facts = tuple(MARKETS)
        for start in range(0, len(whole), rows_max):
            part = Batch(rows_max)
            part.extend(whole, start, min(len(whole), start + rows_max))
            yield facts, part
            facts = ()


@pytest.mark.parametrize("rows_max", [1, 7, 10_000])
async def test_a_recording_replays_to_the_same_log_with_the_demotion_in_it(tmp_path: Path, act: Act, rows_max: int) -> None:
    live_log: list[dict[str, Any]] = []
    recorded: list[Batch] = []

    def bad(features: Any) -> float:  # noqa: ANN401 - a named tuple
        return 2.0 if features.price == 61.0 else steep(features)

    async with world(tmp_path, detector(act), decided=lambda decision: live_log.extend(lines_of(decision))) as at:
        take = at.live.inlet._take

        def taken(batch: Batch) -> None:
            copy = Batch(max(1, len(batch)))
            copy.extend(batch, 0, len(batch))
            recorded.append(copy)
            take(batch)

        at.live.inlet._take = taken
        act.does = bad
        for row in (0, 1):
            now_us = at.clock.now_us()
            at.live.inlet.append(Kind.STATUS, row, at_us=now_us, received_us=now_us, side=0, key=1)
        await at.trade(150, price=50.0)
        await at.trade(40, price=200.0)
        await at.trade(40, price=50.0)
        await at.trade(10, price=61.0)
        await at.trade(40, price=200.0)
        assert at.record["state"] == "demoted"
    assert len(live_log) >= 3
    found: list[dict[str, Any]] = []
    replay = Replay(Pipeline(compiled(detector(bad)), Settings()), batch_rows=rows_max, write=found.append)
    summary = replay.play(Tape(recorded), clock=SystemClock())
    assert found == live_log
    assert summary["detectors_demoted"] == ["mine"]
    assert summary["detector_faults"][0]["times"] == 3


async def test_a_replay_without_a_demotion_counts_faults_and_switches_nothing_off() -> None:
    rows = Batch(400)
    for number in range(400):
        at_us = MovedClock().now_us() + number * 100_000
        rows.append(Kind.TRADE, 0, at_us=at_us, received_us=at_us, price=50.0, amount=1.0, side=BUY, key=number)
    replay = Replay(Pipeline(compiled(detector(lambda _: 1 // 0))), batch_rows=100, write=lambda _: None)
    summary = replay.play(Tape([rows]), clock=SystemClock())
    assert summary["detectors_demoted"] == []
    (fault,) = summary["detector_faults"]
    assert fault["detector"] == "mine"
    assert fault["times"] == fault["calls"] > 3
