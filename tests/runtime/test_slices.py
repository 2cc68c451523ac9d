"""Long work cut into slices: others run in between, and what is made is what would be made in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from alerts.support import MovedClock
from loop_turns import LoopTurns
from runtime.test_live import bench

from guard.model import Market, MarketFacts
from guard.runtime.market_records import market_figures, market_records
from guard.runtime.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

T = TypeVar("T")


async def turns_during(work: Awaitable[T]) -> tuple[T, int]:
    """Return what came of `work`, and how often others ran meanwhile."""
    async with LoopTurns() as turns:
        found = await work
        return found, turns.count


async def test_a_slice_ends_by_time_and_by_steps() -> None:
    now_us = 0

    async def steps(count: int, each_us: int) -> None:
        nonlocal now_us
        slices = Slices(lambda: now_us)
        for _ in range(count):
            now_us += each_us
            await slices.step()

    assert (await turns_during(steps(10, 100)))[1] == 0
    assert (await turns_during(steps(10, 2_000)))[1] == 40
    assert (await turns_during(steps(32, 1)))[1] == 8


async def test_markets_are_told_in_slices_and_the_few_figures_agree_with_the_whole(tmp_path: Path) -> None:
    async with bench(tmp_path, clock=MovedClock()) as desk:
        for number in range(64):
            desk.live.open_market(MarketFacts(Market("x", f"M{number}/USDT")))
        slices = Slices(desk.live.clock.monotonic_us)
        whole, turns = await turns_during(market_records(desk.live, slices))
        few, fewer = await turns_during(market_figures(desk.live, slices))
    assert turns >= 32
    assert fewer >= 12
    assert len(whole.markets) == len(few.markets) == 64
    assert whole.ready == few.ready
    told = {each["market"]: each for each in whole.markets}
    assert all(record[key] == told[record["market"]][key] for record in few.markets for key in record)


async def test_scores_are_looked_at_in_slices_before_they_are_published_and_anew_after_a_second(tmp_path: Path) -> None:
    clock = MovedClock()
    async with bench(tmp_path, clock=clock) as desk:
        for number in range(64):
            desk.live.open_market(MarketFacts(Market("x", f"M{number}/USDT")))
        scores = desk.live.scores
        assert not scores.are_fresh
        _, turns = await turns_during(scores.look())
        assert turns >= 12
        assert scores.are_fresh
        seen = desk.live.image().markets
        scores.forget()
        assert not scores.are_fresh
        assert desk.live.image().markets == seen
        await scores.look()
        await clock.advance(1.6)
        assert not scores.are_fresh
