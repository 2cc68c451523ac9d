"""The past of one market, as BACKFILL rows: candles, then recent trades. Imports ccxt only through what it is given."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from guard.errors import MalformedEvent, RateLimited, Unavailable
from guard.model import Channel, Flag, Kind, Status
from guard_ccxt.rest.budget import Priority
from guard_ccxt.rest.candles import MINUTE_US, candle_rows
from guard_ccxt.rest.hourly import HOUR_US, hour_rows, shapes_of
from guard_ccxt.stream.gate import Gate
from guard_ccxt.stream.sinks import row_putter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.model.ports import Clock, Sink
    from guard_ccxt.counters import Counters
    from guard_ccxt.rest.client import Rest
    from guard_ccxt.rest.pace import Pace
    from guard_ccxt.stream.gate import TradeRow

__all__ = ["History"]

_TRADE_PAGES_MAX = 5
_PAGE_MIN = 60  # no exchange gives fewer where there are more
_TRADES_US = 300_000_000  # the last five minutes come as trades
_CANDLE_PAGES_MAX = 60
_GLANCE_US = 20 * MINUTE_US
# About a millisecond of work each.
_READ_AT_ONCE = 64
_ROWS_AT_ONCE = 512
_WRITTEN_AT_ONCE = 128
_MINUTES_US = 24 * HOUR_US  # what is older comes by the hour: it costs a page instead of many
_TRIES_MAX = 4
_TRADE, _BACKFILL = int(Kind.TRADE), int(Flag.BACKFILL)


class History:
    """Reads what an exchange remembers of one market.

    Parameters
    ----------
    exchange
        A ccxt instance with markets loaded.
    rest, gate, counters, clock, pace
        Shared parts of the connector.
    glanced
        From when on each symbol's past was given by `glance`, microseconds; kept by the connector.

    Notes
    -----
    Rows, oldest first: hours up to a day ago (`hour_rows`), then one-minute candles as up to four trade rows each (`candle_rows`)
    to the first whole minute that trades cover, then those trades (at most 5 pages of 1000, five minutes), then STATUS WARM. At
    most 60 pages of candles are read. Where only one of the two can be had, it is all there is; where neither, it raises
    Unavailable.

    `glance` gives the last twenty minutes alone, as candles: it costs one request, and rules that compare with a price some minutes
    ago know it before the first live trade. What it gave is left out of `read`.

    Rows are read and written a few at a time, at the `pace` of the connector: a past of days must not hold up what is live.

    A page that the exchange refuses for its rate is asked for again when the pause is over, at most three times: pages with a
    hole between them would count as silence.
    """

    def __init__(
        self,
        exchange: Any,
        *,
        rest: Rest,
        gate: Gate,
        counters: Counters,
        clock: Clock,
        pace: Pace,
        glanced: dict[str, int] | None = None,
    ) -> None:
        self._exchange = exchange
        self._rest = rest
        self._gate = gate
        self._counters = counters
        self._clock = clock
        self._pace = pace
        self._glanced = {} if glanced is None else glanced

    async def glance(self, symbol: str, row: int, sink: Sink) -> None:
        """Write the last twenty minutes of `symbol`; raises Unavailable with nothing written."""
        now_us = self._clock.now_us()
        if not self._can("1m"):
            return
        since_us, until_us = (now_us - _GLANCE_US) // MINUTE_US * MINUTE_US, now_us // MINUTE_US * MINUTE_US
        gate = Gate(offset=self._gate.offset)
        found = await self._candles(symbol, "1m", MINUTE_US, since_us=since_us, until_us=until_us, priority=Priority.GLANCE)
        rows = await self._passed(found, lambda candle: candle_rows(candle, gate, now_us=now_us))
        self._glanced[symbol] = since_us
        await self._write(rows, row, sink, now_us)

    async def read(self, symbol: str, row: int, sink: Sink, *, since_us: int) -> None:
        """Write the rows of `symbol` into `sink`; raises Unavailable with nothing written."""
        now_us = self._clock.now_us()
        failure: Unavailable | None = None
        trades: list[TradeRow] = []
        candles: list[TradeRow] = []
        try:
            if self._exchange.has.get("fetchTrades") and symbol not in self._glanced:
                trades = await self._trades(symbol, since_us=max(since_us, now_us - _TRADES_US), now_us=now_us)
        except Unavailable as error:
            failure = error
        cut_us = now_us // MINUTE_US * MINUTE_US
        glanced_us = self._glanced.get(symbol)
        if glanced_us is not None:
            cut_us, trades = glanced_us, []
        elif trades:
            cut_us = min(-(-trades[0].at_us // MINUTE_US) * MINUTE_US, cut_us)
        try:
            if self._can("1m") and since_us < cut_us:
                candles = await self._past(symbol, since_us=since_us, until_us=cut_us, now_us=now_us)
        except Unavailable as error:
            failure = error
        if failure is not None and not trades and not candles:
            raise failure
        start_us = cut_us if candles else since_us
        await self._write([*candles, *(trade for trade in trades if trade.at_us >= start_us)], row, sink, now_us)

    def _can(self, timeframe: str) -> bool:
        return bool(self._exchange.has.get("fetchOHLCV")) and timeframe in (self._exchange.timeframes or {"1m": 1})

    async def _write(self, rows: list[TradeRow], row: int, sink: Sink, now_us: int) -> None:
        for start in range(0, len(rows), _WRITTEN_AT_ONCE):
            await self._pace.run(partial(_append, rows[start : start + _WRITTEN_AT_ONCE], row, sink, now_us))
            now_us = self._clock.now_us()
        sink.append(Kind.STATUS, row, at_us=now_us, received_us=now_us, side=Channel.ALL, key=Status.WARM)
        self._counters.received += len(rows) + 1

    async def _trades(self, symbol: str, *, since_us: int, now_us: int) -> list[TradeRow]:
        def passed(trade: Any) -> list[TradeRow]:
            return [self._gate.trade(trade, received_us=now_us, is_live=False)]

        rows: dict[Any, TradeRow] = {}
        cursor_ms = since_us // 1000
        for _ in range(_TRADE_PAGES_MAX):
            doing = f"fetching recent trades of {symbol}"
            page = await self._passed(await self._page(doing, self._exchange.fetch_trades, symbol, cursor_ms), passed)
            before = len(rows)
            rows.update({one.key or one: one for one in page if since_us <= one.at_us})
            newest_ms = max((one.at_us // 1000 for one in page), default=cursor_ms)
            if len(page) < _PAGE_MIN or len(rows) == before or newest_ms <= cursor_ms:
                break
            cursor_ms = newest_ms
        return sorted(rows.values(), key=lambda one: (one.at_us, one.key))

    async def _past(self, symbol: str, *, since_us: int, until_us: int, now_us: int) -> list[TradeRow]:
        # ccxt's candles are in base, also where its trades are in contracts.
        gate = Gate(offset=self._gate.offset)
        begin_us = max(since_us, (until_us - _MINUTES_US) // HOUR_US * HOUR_US)
        found = await self._candles(symbol, "1m", MINUTE_US, since_us=begin_us, until_us=until_us)
        minutes = await self._passed(found, lambda candle: candle_rows(candle, gate, now_us=now_us))
        shapes = shapes_of(minutes, since_us=begin_us, until_us=until_us)
        if since_us >= begin_us or not shapes or not self._can("1h"):
            return minutes
        try:
            found = await self._candles(symbol, "1h", HOUR_US, since_us=since_us, until_us=begin_us)
        except Unavailable as error:
            self._counters.note(f"no hourly candles of {symbol}, its longest baselines begin a day ago: {error}")
            return minutes
        hourly = await self._passed(found, lambda candle: hour_rows(candle, shapes, gate, now_us=now_us))
        return [*hourly, *minutes]

    async def _candles(
        self,
        symbol: str,
        timeframe: str,
        bar_us: int,
        *,
        since_us: int,
        until_us: int,
        priority: Priority = Priority.HISTORY,
    ) -> list[Any]:
        found: list[Any] = []
        cursor_ms, until_ms, bar_ms = since_us // 1000, until_us // 1000, bar_us // 1000
        for _ in range(_CANDLE_PAGES_MAX):
            doing = f"fetching candles of {symbol}"
            answer = await self._page(doing, self._exchange.fetch_ohlcv, symbol, timeframe, cursor_ms, priority=priority)
            page = [candle for candle in answer or () if _stamp_ms(candle) is not None]
            found += sorted((candle for candle in page if cursor_ms <= candle[0] < until_ms), key=lambda candle: int(candle[0]))
            newest_ms = max((int(candle[0]) for candle in page), default=0)
            if newest_ms < cursor_ms or newest_ms + bar_ms >= until_ms:
                break
            cursor_ms = newest_ms + bar_ms
        return found

    async def _page(self, doing: str, request: Any, *arguments: Any, priority: Priority = Priority.HISTORY) -> Any:
        for left in range(_TRIES_MAX, 0, -1):
            try:
                return await self._rest.page(doing, request, *arguments, priority=priority)
            except RateLimited:
                if left == 1:
                    raise
        raise AssertionError

    async def _passed(self, found: Any, passed: Callable[[Any], list[TradeRow]]) -> list[TradeRow]:
        rows: list[TradeRow] = []
        waiting = deque(found or ())

        def piece() -> None:
            end = len(rows) + _ROWS_AT_ONCE
            for _ in range(min(_READ_AT_ONCE, len(waiting))):
                try:
                    rows.extend(passed(waiting.popleft()))
                except MalformedEvent as error:
                    self._counters.reject(error.reason)
                except (TypeError, ValueError, IndexError, OverflowError):
                    self._counters.reject("candle_malformed")
                if len(rows) >= end:
                    break

        while waiting:
            await self._pace.run(piece)
        return rows


def _append(rows: Iterable[TradeRow], market: int, sink: Sink, now_us: int) -> None:
    put = row_putter(sink)
    for at_us, price, amount, side, key, flags in rows:
        put(_TRADE, market, at_us, now_us, price, amount, side, key, flags | _BACKFILL)


def _stamp_ms(candle: Any) -> int | None:
    stamp = candle[0] if candle else None
    return int(stamp) if isinstance(stamp, (int, float)) and not isinstance(stamp, bool) else None
