"""A connector under supervision."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from alerts.support import MovedClock, settle
from runtime.feeds import Rows, Script, feed_of

from guard.errors import ConfigurationError, Disconnected, Problem

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
