"""What a feed does when following its markets fails while they stream."""

from __future__ import annotations

import asyncio

import pytest
from runtime.feeds import A, B, Script, feed_of
from runtime.test_feed import MovedClock, made_of, running

from guard.model import Market, MarketFacts


@pytest.mark.parametrize("where", ["follow", "open_market", "notice"])
async def test_a_failure_while_following_starts_the_feed_anew_and_is_told(where: str) -> None:
    script, clock, new = Script(), MovedClock(), Market("x", "NEW/USDT")
    feed = made_of(script, clock)
    failing = [True]

    def fails(*_: object) -> None:
        if failing[0]:
            failing[0] = False
            raise RuntimeError("not followed")

    async with running(feed):
        if where == "follow":
            feed.connector.follow = fails  # type: ignore[method-assign] - this one connector
        elif where == "notice":
            feed._notice = fails
        else:
            really = feed._open_market
            feed._open_market = lambda facts: fails() or really(facts)  # type: ignore[func-returns-value] - it raises or not
        script.offered.append(MarketFacts(new))
        await clock.advance(61)
        assert (feed.failures, script.made) == (1, 2)
        assert feed.is_streaming
        assert set(feed.rows) == {A, B, new}


async def test_a_stream_that_fails_while_markets_are_looked_at_is_started_anew() -> None:
    script, clock = Script(), MovedClock()
    feed = made_of(script, clock)
    async with running(feed):
        script.does["markets"] = "hang"
        await clock.advance(61)
        script.fail.set()
        await clock.advance(2)
        assert (feed.failures, script.made, feed.is_streaming) == (1, 2, True)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "markets of x" and task.done()]
    assert not [task for task in asyncio.all_tasks() if " of x" in task.get_name()]


async def test_a_connector_that_gives_up_by_itself_is_a_failure_not_the_end() -> None:
    script, clock = Script(stream=asyncio.CancelledError()), MovedClock()
    feed = feed_of(script, clock)
    async with running(feed):
        assert feed.failures >= 1
        assert "gave up by itself" in str(feed.problem)
