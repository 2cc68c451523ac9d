"""Books without messages: still or dead, over tapes and over a socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import MovedClock, Rows, context
from hypothesis import given
from hypothesis import strategies as st
from silent_tapes import DAY_US, GRACE_US, TAPES, Exchange, S, between
from small_binance import SmallBinance
from still_tapes import ORDERS, BookTape, BookWatch, busy, moved_us, thin

from guard.model import Channel, Flag, Kind, Market
from guard.runtime.clock import seeded_random
from guard_ccxt import CcxtConnector
from guard_ccxt.alive.silence import TickerLag
from guard_ccxt.alive.still_book import HereBook, Quote, StillBook, quote, top

if TYPE_CHECKING:
    from ccxt_support import FrameServer

MINUTE = 60 * S
BOOK = "aaausdt@depth@100ms"
AAA = Market("small", "AAA/USDT")
CUTS = 60


@pytest.fixture(scope="module")
def tapes() -> list[BookTape]:
    found = sorted(TAPES.glob("*.csv.gz"))
    if not found or not ORDERS.exists():
        pytest.skip("the tapes are not beside the checkout")
    return [thin(path) for path in found]


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(Exchange(), id="usual"),
        pytest.param(Exchange(fails=0.3, delay_us=(20_000, 4 * S)), id="polls fail"),
        pytest.param(Exchange(lag_us=(2 * S, 20 * S)), id="slow ticker"),
        pytest.param(Exchange(lag_us=(290 * S, 310 * S)), id="ticker of five minutes ago"),
    ],
)
def test_true_streams_are_marked_at_most_once_a_day_books_and_trades_together_and_no_book_is_subscribed_again(
    tapes: list[BookTape], exchange: Exchange
) -> None:
    random = seeded_random(1)
    for tape in tapes:
        watch = BookWatch(tape, exchange, random)
        assert watch.run(between(random, tape.at_us[0], tape.at_us[0] + MINUTE), tape.at_us[-1]) is None
        assert len(watch.marks) + len(watch.trades.marks) <= (tape.at_us[-1] - tape.at_us[0]) / DAY_US
        assert watch.resubscribed == 0


def test_book_of_a_busy_market_is_never_marked_and_noticed_when_it_is_cut(tapes: list[BookTape]) -> None:
    del tapes
    tape, random, waits = busy(), seeded_random(3), []
    watch = BookWatch(tape, Exchange(fails=0.3, delay_us=(20_000, 4 * S)), random)
    watch.run(tape.at_us[0], tape.at_us[-1])
    assert (watch.marks, watch.resubscribed) == ([], 0)
    for _ in range(CUTS):
        cut_us = between(random, tape.at_us[0] + 10 * MINUTE, tape.at_us[-1] - 30 * MINUTE)
        noticed_us = BookWatch(tape, Exchange(), random).run(cut_us - 10 * MINUTE, tape.at_us[-1], cut_us=cut_us)
        assert noticed_us is not None
        waits.append(noticed_us - cut_us)
    assert sorted(waits)[CUTS // 2] <= 90 * S


def test_cut_book_is_noticed_within_90_s_of_when_it_moved_for_more_than_a_minute(tapes: list[BookTape]) -> None:
    # A price that is back before the next look leaves no trace in a ticker.
    random, waits = seeded_random(7), []
    for tape in tapes:
        for _ in range(CUTS):
            cut_us = between(random, tape.at_us[0] + 120 * MINUTE, tape.at_us[-1] - 60 * MINUTE)
            watch = BookWatch(tape, Exchange(), random)
            noticed_us = watch.run(cut_us - 120 * MINUTE + between(random, 0, MINUTE), tape.at_us[-1], cut_us=cut_us)
            changed_us = moved_us(tape, cut_us, hold_us=MINUTE + 3 * GRACE_US)
            if changed_us is not None:
                assert noticed_us is not None
                waits.append(noticed_us - changed_us)
    assert len(waits) > 3 * CUTS
    assert sum(wait <= 90 * S for wait in waits) >= 0.98 * len(waits)


def look(still: StillBook, token: int, ours: Quote | None, seen: Quote | None, at_s: int) -> bool:
    return still.misses(HereBook((token,), None, ours), seen, lag=TickerLag(), now_us=at_s * S, steady_us=at_s * S)


def test_ticker_that_differs_by_nature_and_stands_still_is_no_evidence() -> None:
    still = StillBook()
    assert not any(look(still, 1, Quote(1.0, 2.0), Quote(1.0, 2.1), 60 * at) for at in range(1, 500))


def test_book_with_messages_is_alive_whatever_the_ticker_shows() -> None:
    still = StillBook()
    assert not any(look(still, at, Quote(1.0, 2.0), Quote(1.0, 2.0 + at % 3), 60 * at) for at in range(1, 500))


def test_ticker_that_follows_prices_of_its_own_disturbs_less_and_less() -> None:
    still, marks = StillBook(), 0
    for at in range(1, 3000):
        if look(still, at // 40, Quote(1.0, 2.0), Quote(1.0, 2.1 + at % 2), 60 * at):
            marks += 1
            still.refute()
    assert marks <= 8


ODD: Any = st.sampled_from([None, "", "x", "7", -1, 0, 1, 1 << 70, 0.5, float("nan"), float("inf"), True, [], {}])


@given(st.lists(st.one_of(st.none(), st.fixed_dictionaries({"bid": ODD, "ask": ODD})), max_size=5), ODD)
def test_any_ticker_and_any_book_can_be_looked_at(tickers: list[dict[str, Any] | None], odd: object) -> None:
    still = StillBook()
    for at, ticker in enumerate(tickers, 1):
        found = quote(ticker)
        assert found is None or 0 < found.bid <= found.ask < float("inf")
        look(still, 1, Quote(1.0, 2.0), found, 60 * at)
    assert top({"bids": [[odd, 1.0]], "asks": []}) is None
    assert top({}) is None


def said(rows: Rows) -> list[str]:
    """Return what was said of the stream of the book."""
    return [name for name, channel in rows.statuses() if channel == Channel.BOOK]


class Opened:
    """A connector that streams one book of a small server, whose ticker agrees with it at first."""

    def __init__(self, server: FrameServer) -> None:
        clock = MovedClock()
        self.exchange = SmallBinance(server, clock)
        self.exchange.quotes = {"bidPrice": "0.99", "askPrice": "1.01"}
        options = self.exchange.options(has={}, ticker_poll_s=0.2)
        self.connector = CcxtConnector(context("small", options, clock, reports=[])._replace(streams=frozenset({"book"})))
        self.rows = Rows()

    async def start(self) -> asyncio.Task[None]:
        await self.connector.open()
        session = self.connector._session
        assert session is not None
        session.exchange.enableRateLimit = False
        task = asyncio.create_task(self.connector.stream({AAA: 0}, self.rows))
        await self.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 4)
        await asyncio.sleep(0.5)  # looks at which ticker and book agree
        return task

    async def end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.connector.close()


async def test_book_that_dies_on_a_connection_that_lives_is_marked_and_subscribed_again(server: FrameServer) -> None:
    run = Opened(server)
    task = await run.start()
    assert said(run.rows) == ["LIVE"]
    run.exchange.levels = {"bids": [["0.97", "10"]], "asks": [["1.03", "11"]]}
    run.exchange.quotes = {"bidPrice": "0.97", "askPrice": "1.03"}
    await run.rows.until(lambda rows: "STALLED" in said(rows))
    await run.exchange.until_subscribed(BOOK, times=2)
    await run.rows.until(lambda rows: said(rows)[-1] == "LIVE")
    kinds = [row.kind for row in run.rows.rows if row.kind in (Kind.GAP, Kind.LEVEL)]
    assert kinds == [Kind.LEVEL] * 4 + [Kind.GAP] + [Kind.LEVEL] * 2
    shown = run.rows.of(Kind.LEVEL)[-2:]
    assert {(row.side, row.price) for row in shown} == {(1, 0.97), (-1, 1.03)}
    assert all(row.flags & Flag.SNAPSHOT for row in shown)
    details = run.connector.health().details or {}
    assert (details["stalls"], details["refuted"], details["resubscribed"]) == (1, 0, 1)
    await run.end(task)


async def test_book_that_missed_nothing_is_shown_again_whatever_the_ticker_shows(server: FrameServer) -> None:
    run = Opened(server)
    task = await run.start()
    run.exchange.quotes = {"bidPrice": "0.97", "askPrice": "1.03"}  # and the book itself is as it was
    await run.rows.until(lambda rows: said(rows) == ["LIVE", "STALLED", "LIVE"])
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 8)
    assert all(row.flags & Flag.SNAPSHOT for row in run.rows.of(Kind.LEVEL)[-4:])
    assert run.exchange.subscribes.count(BOOK) == 1
    assert not run.rows.of(Kind.GAP)
    await run.exchange.send_diff([["0.98", "0"]], [])
    await run.rows.until(lambda rows: len(rows.of(Kind.LEVEL)) == 9)
    await asyncio.sleep(0.6)
    details = run.connector.health().details or {}
    assert (details["stalls"], details["refuted"], details["resubscribed"]) == (1, 1, 0)
    await run.end(task)


async def test_message_that_comes_while_a_book_is_doubted_shows_it_as_a_whole_behind_a_gap(server: FrameServer) -> None:
    run = Opened(server)
    task = await run.start()
    del server.rest["/api/v3/depth"]  # so that nothing is proven
    run.exchange.quotes = {"bidPrice": "0.99", "askPrice": "1.03"}
    await run.rows.until(lambda rows: "STALLED" in said(rows))
    await run.exchange.send_diff([], [["1.01", "0"]])
    await run.rows.until(lambda rows: said(rows)[-1] == "LIVE")
    assert len(run.rows.of(Kind.GAP)) == 1
    shown = run.rows.of(Kind.LEVEL)[4:]
    assert {(row.side, row.price) for row in shown} == {(1, 0.99), (1, 0.98), (-1, 1.02)}
    assert all(row.flags & Flag.SNAPSHOT for row in shown)
    assert run.exchange.subscribes.count(BOOK) == 1
    await run.end(task)
