from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import MovedClock, until
from weighing import MINUTE_S, LeapClock, Weigher, binance, kucoin

from guard.errors import Disconnected, RateLimited, Unavailable
from guard_ccxt.rest.client import Priority, Rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ccxt_support import FrameServer


@asynccontextmanager
async def opened(made: tuple[Any, Rest, Weigher, list[str]]) -> AsyncIterator[tuple[Any, Rest, Weigher, list[str]]]:
    try:
        yield made
    finally:
        await made[0].close()


async def candles(exchange: Any, rest: Rest, priority: Priority = Priority.HISTORY) -> Any:
    return await rest.call("candles", exchange.public_get_klines, {"symbol": "AAAUSDT", "interval": "1m"}, priority=priority)


async def depth(exchange: Any) -> Any:
    return await exchange.public_get_depth({"symbol": "AAAUSDT", "limit": 100})


async def flood(ask: Callable[[], Any], times: int) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(ask()) for _ in range(times)]
    await asyncio.sleep(0)
    return tasks


async def ended(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_no_minute_at_the_exchange_sees_more_than_the_share(server: FrameServer) -> None:
    async with opened(binance(server, LeapClock(), share=0.02)) as (exchange, rest, weigher, _):
        tasks = await flood(lambda: candles(exchange, rest), 200)
        tasks += await flood(lambda: depth(exchange), 40)
        tasks += await flood(lambda: rest.call("tickers", exchange.public_get_ticker_24hr, priority=Priority.TICKERS), 3)
        await until(lambda: weigher.lasted_s > 3 * MINUTE_S)
        await ended(tasks)
        assert 60 < weigher.worst_minute() <= 0.02 * 6000 + 1e-6
        assert rest.record()["limit"] == 6000.0
        assert rest.record()["requests"]["snapshot"] > 20
        assert rest.record()["waiting"] == dict.fromkeys(("snapshot", "repair", "glance", "tickers", "history", "audit"), 0)


async def test_kucoin_is_kept_within_its_windows_of_thirty_seconds(server: FrameServer) -> None:
    async with opened(kucoin(server, LeapClock(), share=0.03)) as (exchange, rest, weigher, _):
        tasks = await flood(lambda: rest.call("x", exchange.public_get_market_candles, {"symbol": "A"}), 200)
        await until(lambda: weigher.lasted_s > 2 * MINUTE_S)
        await ended(tasks)
        for first, _ in weigher.arrivals:
            assert sum(w for at, w in weigher.arrivals if first <= at < first + 29.0) <= 0.03 * 2000
        assert rest.record()["address_limit"] == 2000.0


@pytest.mark.parametrize("make", [binance, kucoin])
async def test_where_the_bot_uses_half_of_the_budget_guard_stops_until_it_falls(server: FrameServer, make: Any) -> None:
    async with opened(make(server, LeapClock())) as (exchange, rest, weigher, told):
        ask = exchange.public_get_klines if make is binance else exchange.public_get_market_candles
        span_s = MINUTE_S if make is binance else 30.0
        await rest.call("first", ask, {"symbol": "A"})
        weigher.bot_asks(0.55 * weigher.limit)
        await rest.call("it learns of it", ask, {"symbol": "A"})
        stopped_s = weigher.now_s
        assert rest.left_s() > 0
        assert "the address used" in rest.record()["why"]
        assert rest.record()["stops"] == 1
        assert any("REST stops" in text for text in told)
        await rest.call("after", ask, {"symbol": "A"})
        # not before the exchange's window is over, and not for ever
        window_ends_s = stopped_s // span_s * span_s + span_s if make is binance else stopped_s
        assert weigher.arrivals[-1][0] >= window_ends_s
        assert weigher.arrivals[-1][0] - stopped_s < 2 * MINUTE_S
        assert rest.record()["paused_s"] == 0
        assert weigher.refused == 0


async def test_while_the_bot_stays_busy_one_request_a_minute_looks_whether_it_still_is(server: FrameServer) -> None:
    async with opened(binance(server, LeapClock())) as (exchange, rest, weigher, told):
        weigher.says = lambda _: {"x-mbx-used-weight-1m": "3500"}
        tasks = await flood(lambda: candles(exchange, rest), 20)
        await until(lambda: weigher.lasted_s > 4 * MINUTE_S)
        await ended(tasks)
        later = [at for at, _ in weigher.arrivals[3:]]
        assert later
        assert all(after - before > MINUTE_S - 1.0 for before, after in pairwise(later))
        assert len(told) == 1


@pytest.mark.parametrize("status", [429, 418])
async def test_a_refusal_pauses_all_rest_for_retry_after(server: FrameServer, status: int) -> None:
    async with opened(binance(server, LeapClock())) as (exchange, rest, weigher, told):
        weigher.refuses = [(status, {"Retry-After": "25"})]
        with pytest.raises(RateLimited) as caught:
            await candles(exchange, rest)
        assert 20 < caught.value.retry_after_s <= 25
        assert rest.record()["why"] in ("refused (429)", "banned (418)")
        await asyncio.gather(depth(exchange), candles(exchange, rest))
        refused_s, *others = [at for at, _ in weigher.arrivals]
        assert all(at - refused_s >= 24.9 for at in others)
        assert any("REST pauses for 25 s" in text for text in told)


async def test_bans_in_a_row_escalate(server: FrameServer) -> None:
    async with opened(binance(server, LeapClock())) as (exchange, rest, weigher, _):
        weigher.refuses = [(418, {"Retry-After": "20"})] * 3
        for _ in range(3):
            with pytest.raises(RateLimited):
                await candles(exchange, rest)
        await candles(exchange, rest)
        at = [moment for moment, _ in weigher.arrivals]
        waits = [after - before for before, after in pairwise(at)]
        assert all(least <= wait < least * 1.9 for least, wait in zip((20, 40, 80), waits, strict=True))
        assert rest.record()["bans"] == 3


async def test_ten_refusals_at_once_are_one_pause(server: FrameServer) -> None:
    async with opened(binance(server, MovedClock())) as (exchange, rest, weigher, told):
        weigher.refuses = [(429, {"Retry-After": "40"})] * 10
        results = await asyncio.gather(*(depth(exchange) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(result, Exception) for result in results)
        assert rest.record()["refusals"] == 10
        assert 35 < rest.left_s() <= 40
        assert len(told) == 1


async def test_headers_that_lie_stop_nothing_for_long(server: FrameServer) -> None:
    async with opened(binance(server, LeapClock())) as (exchange, rest, weigher, _):
        for text in ("-1", "nan", "1e300", "much", "", "5999"):
            weigher.says = lambda _, text=text: {"x-mbx-used-weight-1m": text, "retry-after": "100000"}
            await candles(exchange, rest)
        assert 0 < rest.left_s() <= 61
        weigher.says = lambda _: {}
        await candles(exchange, rest)
        assert rest.left_s() == 0


async def test_a_rest_that_hangs_keeps_no_snapshot_from_going(server: FrameServer) -> None:
    async with opened(binance(server, MovedClock(), timeout_ms=1500)) as (exchange, rest, _, _told):
        gone = asyncio.Event()

        async def hang(*_: Any) -> None:
            await gone.wait()

        stock = server.delays
        stock["/api/v3/klines"] = hang
        tasks = await flood(lambda: candles(exchange, rest), 20)
        await asyncio.sleep(0.05)
        assert rest.budget.under_way() == 2
        async with asyncio.timeout(1.0):
            await depth(exchange)
            await rest.call("tickers", exchange.public_get_ticker_24hr, priority=Priority.TICKERS)
        with pytest.raises(Disconnected, match="RequestTimeout"):
            await tasks[0]
        gone.set()
        await ended(tasks)
        assert rest.budget.under_way() == 0


async def test_a_request_that_weighs_more_than_the_share_is_told_and_not_kept_waiting(server: FrameServer) -> None:
    async with opened(binance(server, MovedClock(), share=0.01)) as (exchange, rest, weigher, _):
        with pytest.raises(Unavailable, match="weighs 80, guard's share of a minute is 60; raise rest_share"):
            await rest.call("tickers", exchange.public_get_ticker_24hr, priority=Priority.TICKERS)
        await depth(exchange)
        assert len(weigher.arrivals) == 1


async def test_a_repair_that_gets_no_turn_gives_up_in_time(server: FrameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard_ccxt.rest.client._PATIENCE_S", {Priority.REPAIR: 0.1})
    async with opened(binance(server, MovedClock())) as (exchange, rest, weigher, _):
        weigher.refuses = [(429, {"Retry-After": "300"})]
        with pytest.raises(RateLimited):
            await candles(exchange, rest)
        with pytest.raises(RateLimited, match="no turn"):
            await rest.page("missed trades", exchange.fetch_trades, "AAA/USDT")
        assert rest.budget.waiting() == 0


async def test_repairs_beyond_the_share_are_refused_at_once_and_books_keep_their_room(server: FrameServer) -> None:
    async with opened(binance(server, MovedClock(), share=0.01)) as (exchange, rest, weigher, _):  # 60 a minute, repairs up to 54
        rest.expect_books(10)
        await depth(exchange)  # now it is known what a book weighs: 5
        rest.expect_books(-1)
        ask, words = exchange.public_get_klines, {"symbol": "AAAUSDT", "interval": "1m"}  # 2 each
        began_s = weigher.now_s
        asked = [rest.call("missed", ask, words, priority=Priority.REPAIR) for _ in range(4)]
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(end, RateLimited) for end in ends] == [False, False, True, True]
        assert weigher.now_s - began_s < 1.0
        await asyncio.gather(*(depth(exchange) for _ in range(9)))
        assert weigher.worst_minute() <= 60.0


async def test_waiting_requests_that_are_cancelled_leave_nothing_behind(server: FrameServer) -> None:
    async with opened(binance(server, MovedClock(), share=0.005)) as (exchange, rest, _, _told):
        tasks = await flood(lambda: depth(exchange), 40)
        await asyncio.sleep(0.1)
        assert rest.left_s() >= 1.0  # snapshots wait: nobody takes their books for stalled
        await ended(tasks)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
        assert rest.budget.waiting() == 0
        assert not rest._turns


async def test_two_hundred_markets_with_a_tiny_budget_all_get_their_past_and_snapshots_go_first(server: FrameServer) -> None:
    async with opened(binance(server, LeapClock(), share=0.02)) as (exchange, rest, weigher, _):
        served: list[int] = []
        waits_s: list[float] = []

        async def past(number: int) -> None:
            await candles(exchange, rest)
            served.append(number)

        async def snapshots() -> None:
            while True:
                began_s = weigher.now_s
                await depth(exchange)
                waits_s.append(weigher.now_s - began_s)
                await rest._clock.sleep(10.0)

        resyncs = asyncio.create_task(snapshots())
        pasts = [asyncio.create_task(past(number)) for number in range(200)]
        async with asyncio.timeout(12):
            await asyncio.gather(*pasts)
        await ended([resyncs])
        assert all(abs(number - place) <= 2 for place, number in enumerate(served))  # first come, first served
        assert weigher.worst_minute() <= 0.02 * 6000 + 1e-6
        assert weigher.refused == 0
        assert sorted(waits_s)[len(waits_s) // 2] < 10.0
