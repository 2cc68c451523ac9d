"""A connector under supervision."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from alerts.support import MovedClock, settle
from runtime.feeds import A, B, Rows, Script, feed_of

from guard.errors import ConfigurationError, Disconnected, Problem
from guard.model import Market, MarketFacts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from guard.runtime.feed import Feed


@asynccontextmanager
async def running(feed: Feed) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(feed.run())
    try:
        await settle(60)
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_feed_that_runs_has_no_trouble() -> None:
    feed = feed_of(Script(), MovedClock())
    assert feed.trouble == "its streams have not begun"
    async with running(feed):
        assert (feed.is_streaming, feed.has_streamed, feed.trouble, feed.unwarmed) == (True, True, None, set())


async def test_a_connector_that_fails_is_made_anew_and_its_markets_are_lost_meanwhile() -> None:
    script, sink, clock = Script(), Rows(), MovedClock()
    feed = feed_of(script, clock, sink=sink)
    async with running(feed):
        assert sink.lost() == set()
        script.fail.set()
        await settle()
        assert (feed.is_streaming, feed.trouble, feed.failures) == (False, "the stream broke", 1)
        assert sink.lost() == {0, 1}
        await clock.advance(2)
        assert (feed.is_streaming, feed.trouble, script.made) == (True, None, 2)


@pytest.mark.parametrize("error", [Disconnected("gone"), KeyError("symbol"), ValueError("")])
async def test_whatever_opening_raises_the_feed_tries_again(error: Exception) -> None:
    script, clock = Script(open=error), MovedClock()
    feed = feed_of(script, clock)
    async with running(feed) as task:
        assert feed.trouble
        script.does["open"] = None
        await clock.advance(2)
        assert feed.trouble is None
        assert not task.done()


async def test_the_pauses_grow_to_a_minute() -> None:
    script, clock = Script(open=Disconnected("gone")), MovedClock()
    async with running(feed_of(script, clock)):
        await clock.advance(3600)
        assert 60 < script.made < 100


async def test_a_connector_that_cannot_be_closed_or_cancels_itself_does_not_end_the_feed() -> None:
    script, clock = Script(stream=asyncio.CancelledError(), close=OSError("bad socket")), MovedClock()
    feed = feed_of(script, clock)
    async with running(feed) as task:
        assert feed.trouble == "the connector gave up by itself"
        script.does["stream"] = None
        await clock.advance(2)
        assert feed.is_streaming
        assert not task.done()


async def test_a_connector_that_cannot_be_made_again_does_not_end_the_feed() -> None:
    script, clock = Script(open=Disconnected("gone")), MovedClock()
    feed = feed_of(script, clock)
    connect = feed._connect

    def broken() -> None:
        raise RuntimeError("no more sockets")

    feed._connect = broken  # type: ignore[assignment] - a connect that raises
    async with running(feed) as task:
        await clock.advance(2)
        assert feed.trouble == "no more sockets"
        script.does["open"], feed._connect = None, connect
        await clock.advance(5)
        assert feed.is_streaming
        assert not task.done()


async def test_a_market_without_a_past_streams_all_the_same() -> None:
    feed = feed_of(Script(history=KeyError("candles")), MovedClock())
    async with running(feed):
        assert feed.is_streaming
        assert feed.unwarmed == {"x:A/USDT"}


async def test_a_lost_connection_is_a_trouble_of_a_feed_that_streams() -> None:
    script = Script()
    feed = feed_of(script, MovedClock())
    async with running(feed):
        script.states = {"ws://a": "live", "ws://b": "lost"}
        assert feed.trouble == "1 of 2 connections do not deliver"


async def test_a_mistake_in_the_configuration_is_known_as_one() -> None:
    problem = Problem("guard.yaml", 1, 1, "E400", "exchange-option", "error", "no such option")
    feed = feed_of(Script(open=ConfigurationError(problem)), MovedClock())
    async with running(feed):
        assert feed.is_misconfigured
        assert "no such option" in str(feed.trouble)


async def test_no_matching_market_is_said_with_what_was_asked_for() -> None:
    feed = feed_of(Script(), MovedClock())
    feed.plan = feed.plan._replace(markets=("Z/*",))
    async with running(feed):
        assert feed.trouble == "x offers 2 markets, but none matches Z/*"


def made_of(script: Script, clock: MovedClock, **more: object) -> Feed:
    rows: dict[Market, int] = {}
    feed = feed_of(script, clock, open_market=lambda facts: rows.setdefault(facts.market, len(rows)))
    feed.plan = feed.plan._replace(**more)  # type: ignore[arg-type] - keys of the plan
    return feed


async def test_a_new_listing_is_followed_within_a_minute_and_warmed() -> None:
    script, clock, new = Script(), MovedClock(), Market("x", "NEW/USDT")
    feed = made_of(script, clock)
    async with running(feed):
        script.offered.append(MarketFacts(new))
        await clock.advance(61)
        assert script.followed == [{A: 0, B: 1, new: 2}]
        assert script.warmed[-1] == new
        assert (feed.rows[new], feed.unwarmed) == (2, set())


async def test_a_market_that_is_gone_is_let_go_after_an_hour_and_comes_back_with_its_row() -> None:
    script, clock = Script(), MovedClock()
    feed = made_of(script, clock)
    async with running(feed):
        gone = script.offered.pop()
        await clock.advance(3500)
        assert script.followed == []
        await clock.advance(300)
        assert (script.followed, feed.let_go) == ([{A: 0}], {B})
        script.offered.append(gone)
        await clock.advance(61)
        assert (script.followed[-1], feed.let_go) == ({A: 0, B: 1}, set())


async def test_a_held_market_is_not_let_go() -> None:
    script, clock = Script(), MovedClock()
    feed = made_of(script, clock)
    feed._is_held = lambda market: market == B
    async with running(feed):
        script.offered.pop()
        await clock.advance(9000)
        assert script.followed == []


@pytest.mark.parametrize("error", [Disconnected("gone"), ValueError("markets")])
async def test_a_list_that_cannot_be_had_changes_nothing_and_is_asked_for_again(error: Exception) -> None:
    script, clock = Script(markets=error), MovedClock()
    feed = made_of(script, clock)
    async with running(feed):
        script.offered.clear()
        await clock.advance(200)
        assert (script.followed, feed.is_streaming, feed.trouble) == ([], True, None)


async def test_streams_do_not_wait_for_a_history_that_hangs() -> None:
    script, clock = Script(history="hang"), MovedClock()
    feed = made_of(script, clock, history_wait_s=0.02)
    async with running(feed):
        await asyncio.sleep(0.05)
        assert (feed.is_streaming, feed.unwarmed) == (True, {"x:A/USDT"})


class Listed:
    """Bots whose list is what the test says."""

    problem: str | None = None

    def __init__(self) -> None:
        self.symbols: set[str] = set()
        self.changed = asyncio.Event()
        self.gate = asyncio.Event()

    def traded(self, _offered: object, *, most: int) -> set[str]:
        assert most
        return self.symbols

    async def ready(self) -> None:
        await self.gate.wait()

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_what_a_bot_adds_streams_at_once_and_what_it_gives_up_an_hour_later() -> None:
    script, clock, bots = Script(), MovedClock(), Listed()
    feed = made_of(script, clock, markets=())
    feed.bots = bots  # type: ignore[assignment] - a list that moves when told
    async with running(feed):
        assert not feed.is_streaming
        bots.gate.set()
        await settle(60)
        assert feed.trouble == "x offers 2 markets, but none matches what its bot trades"
        bots.symbols = {"A/USDT"}
        bots.changed.set()
        await settle(60)
        assert (feed.trouble, list(feed.rows)) == (None, [A])
        bots.symbols = {"B/USDT"}
        bots.changed.set()
        await settle(60)
        assert list(script.followed[-1]) == [A, B]
        await clock.advance(3700)
        assert (list(script.followed[-1]), feed.let_go) == ([B], {A})
