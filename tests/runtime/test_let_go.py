"""A market that is no longer watched is unknown to bots, and what an exchange says of one that is reaches its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.support import MovedClock
from loop_turns import LoopTurns
from runtime.feeds import A, B, Script
from runtime.test_live import bench

from guard.dsl.bot_models import FreqtradeBot
from guard.model import Market, MarketFacts
from guard.model.bot import NEW_US
from guard.runtime.bot_list import BotList
from guard.runtime.bots import Bots
from guard.runtime.ready_view import rules_ready
from guard.runtime.selection import Chosen
from guard.runtime.slices import Slices

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_market_that_was_let_go_is_not_shown_to_bots_until_it_is_watched_again(tmp_path: Path) -> None:
    clock = MovedClock()
    async with bench(tmp_path, clock=clock) as desk:
        feed = desk.feed(Script())
        for market in (A, B):
            desk.live.open_market(MarketFacts(market))
        assert {str(A), str(B)} <= set(desk.live.image().markets)
        feed.let_go = {B}
        assert str(B) not in desk.live.image().markets
        feed.let_go = set()
        assert str(B) in desk.live.image().markets


async def test_an_exchange_that_was_never_reached_is_not_told_as_not_watched(tmp_path: Path) -> None:
    async with bench(tmp_path, clock=MovedClock()) as desk:
        feed = desk.feed(Script())
        assert {name: view.data for name, view in desk.live.image().unreached.items()} == {A.exchange: "warming"}
        feed.failures = 1
        assert {name: view.data for name, view in desk.live.image().unreached.items()} == {A.exchange: "stale"}
        feed.chosen = Chosen([], 0, {"B/USDT": "excluded"})
        assert not desk.live.image().unreached


async def test_a_bot_that_was_never_heard_may_trade_what_is_not_watched(tmp_path: Path) -> None:
    settings = FreqtradeBot(url="http://127.0.0.1:1", user="u", password="p")  # type: ignore[arg-type]  # noqa: S106 - pydantic reads texts; no secret
    async with bench(tmp_path, clock=MovedClock()) as desk:
        feed = desk.feed(Script())
        kept, config = tmp_path / "bot.json", tmp_path / "config.json"
        listed = BotList(A.exchange, settings, folder=tmp_path, kept=kept, clock=desk.live.clock, announce=lambda *_: None)
        feed.bots, feed.chosen = Bots(A.exchange, listed=listed, asked=None), Chosen([], 0, {"B/USDT": "excluded"})
        assert {name: view.data for name, view in desk.live.image().unreached.items()} == {A.exchange: "warming"}
        await listed.look()
        assert listed.problem is not None
        assert {name: view.data for name, view in desk.live.image().unreached.items()} == {A.exchange: "stale"}
        kept.write_text('["A/USDT"]')
        listed._is_kept_read = False
        await listed.look()
        assert not desk.live.image().unreached
        config.write_text('{"exchange": {"pair_whitelist": ["A/USDT"]}}')
        by_file = BotList(
            A.exchange,
            settings.model_copy(update={"config": "config.json"}),
            folder=tmp_path,
            kept=tmp_path / "none.json",
            clock=desk.live.clock,
            announce=lambda *_: None,
        )
        await by_file.look()
        assert by_file.is_known


async def test_a_market_that_was_let_go_is_not_remembered_for_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path, clock=MovedClock()) as desk:
        feed = desk.feed(Script())
        for market in (A, B):
            desk.live.open_market(MarketFacts(market))
        desk.live.names.keep()
        assert desk.live.watchlist.markets >= {str(A), str(B)}
        feed.has_streamed, feed.let_go = True, {B}
        desk.live.names.keep()
        assert desk.live.watchlist.markets == {str(A)}
        feed.let_go = set()
        desk.live.names.keep()
        assert desk.live.watchlist.markets == {str(A), str(B)}


async def test_a_new_listing_is_shown_as_such_before_its_market_is_open_again(tmp_path: Path) -> None:
    clock = MovedClock()
    listed_us = clock.now_us() - 3_600_000_000
    async with bench(tmp_path, clock=clock) as desk:
        desk.feed(Script()).has_streamed = True
        desk.live.open_market(MarketFacts(A))
        desk.live.open_market(MarketFacts(B, listed_us=listed_us))
        desk.live.names.keep()
        assert desk.live.watchlist.listed_until_us == {str(B): listed_us + NEW_US}
    async with bench(tmp_path, clock=clock) as desk:
        desk.feed(Script())
        desk.live.names.keep()
        views = desk.live.image().markets
        assert (views[str(A)].listed_until_us, views[str(B)].listed_until_us) == (None, listed_us + NEW_US)
        assert views[str(B)].data == "warming"


async def test_the_loop_turns_while_a_thousand_markets_are_looked_at_and_none_that_was_let_go(tmp_path: Path) -> None:
    async with bench(tmp_path, clock=MovedClock()) as desk:
        for number in range(64):
            desk.live.open_market(MarketFacts(Market("x", f"M{number}/USDT")))
        slices = Slices(desk.live.clock.monotonic_us)
        async with LoopTurns() as turns:
            found = await rules_ready(desk.live.pipeline, desk.live.clock.now_us(), {}, slices, let_go={Market("x", "M3/USDT")})
    assert len(found) == 63
    assert "x:M3/USDT" not in found
    assert turns.count >= 3
