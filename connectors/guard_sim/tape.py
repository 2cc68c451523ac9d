"""The seeded market in virtual time: rows for a batch, without a server and without waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.model import ASK, BID, BUY, SELL, Channel, Flag, Kind, Market, MarketClass, MarketFacts, Status
from guard_sim.coins import chosen
from guard_sim.market import SeededMarket
from guard_sim.past import MINUTE_US, Past

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guard.model.ports import Sink
    from guard_sim.book import Diff, Fill
    from guard_sim.coins import Coin
    from guard_sim.market_coin import CoinMarket
    from guard_sim.past import Minute
    from guard_sim.schedule import Truth

__all__ = ["Row", "VirtualMarket", "events", "facts", "fill"]

START_US = 1_750_000_000_000_000
SLICE_US = 50_000
LATENCY_US = 5_000


class Row(NamedTuple):
    """One row of a `guard.model.Batch`, as `Batch.append` takes it."""

    kind: int
    market: int
    at_us: int
    received_us: int
    price: float
    amount: float
    side: int
    key: int
    flags: int


def facts(*, name: str = "sim", symbols: object = None, count: object = None) -> tuple[MarketFacts, ...]:
    """Return what an exchange called `name` has on offer, in the order of the market rows that `fill` uses by default."""
    return tuple(_facts_of(name, coin) for coin in chosen(symbols, count))


class VirtualMarket:
    """The seeded market writing rows into a sink as virtual time goes on.

    Parameters
    ----------
    sink
        Gets the rows: anything with the `append` of `guard.model.Batch`. A plain Batch must be emptied between the slices of
        `play`; with the default coins a slice of 50 ms has under 1,000 rows (the first, with the snapshots, 1,920).
    seed, schedule, symbols, count
        As in guard.yaml.
    start_us
        First moment, microseconds since 1970.
    rows
        Number of each market in the batch by symbol; markets that are missing are left out. By default the place in `facts`.
    has_book
        False leaves the LEVEL rows out.
    latency_us
        `received_us` - `at_us` of every row.

    Attributes
    ----------
    truth
        What the schedule does; filled in as it happens.

    Notes
    -----
    A market whose feed is frozen writes nothing; when it returns it writes a GAP row and a fresh snapshot, as a connector would.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        seed: int = 7,
        schedule: object = "demo",
        symbols: object = None,
        count: object = None,
        start_us: int = START_US,
        rows: Mapping[str, int] | None = None,
        has_book: bool = True,
        latency_us: int = LATENCY_US,
    ) -> None:
        coins = chosen(symbols, count)
        self._sink = sink
        self._latency_us = latency_us
        self._has_book = has_book
        self._rows = {coin.symbol: row for row, coin in enumerate(coins)} if rows is None else dict(rows)
        self._scale = {coin.symbol: (coin.ticks_per_usdt, coin.lots_per_coin) for coin in coins}
        self._frozen_us: dict[str, int] = {}
        self.market = SeededMarket(self, seed=seed, schedule=schedule, coins=coins, start_us=start_us)
        self.past = Past(seed, start_us)
        self.truth: Sequence[Truth] = self.market.truth

    def fill_past(self, *, history_s: float) -> None:
        """Write the last `history_s` seconds (at most 48 h) before the start: four BACKFILL trades a candle, then Status.WARM."""
        since_us = self.market.start_us - int(history_s * 1e6)
        for symbol, row in self._rows.items():
            for minute in self.past.minutes(self.market.by_symbol[symbol].coin):
                if minute.at_us >= since_us and minute.trades:
                    self._candle(row, minute)
            self._status(row, self.market.start_us, Status.WARM)

    def fill_earlier_trades(self, *, history_s: float) -> None:
        """Write every trade of the last `history_s` seconds (at most 48 h) before the start, as if it had been heard live."""
        since_us = self.market.start_us - int(history_s * 1e6)
        coins = [(row, self.market.by_symbol[symbol].coin) for symbol, row in self._rows.items()]
        for minutes in zip(*(self.past.minutes(coin) for _, coin in coins), strict=True):
            if minutes[0].at_us < since_us:
                continue
            found = [
                (trade, row, coin)
                for (row, coin), minute in zip(coins, minutes, strict=True)
                for trade in self.past.trades(coin, minute)
            ]
            # Coins of one minute come one after the other; a tape is in order of time.
            for trade, row, coin in sorted(found, key=lambda each: (each[0].at_us, each[1], each[0].id)):
                self._sink.append(
                    Kind.TRADE,
                    row,
                    at_us=trade.at_us,
                    received_us=trade.at_us + self._latency_us,
                    price=trade.tick / coin.ticks_per_usdt,
                    amount=trade.lots / coin.lots_per_coin,
                    side=trade.side,
                    key=trade.id,
                )

    def play(self, duration_s: float, *, slice_us: int = SLICE_US) -> Iterator[int]:
        """Run the market for `duration_s` and yield the virtual time after each slice; the sink has its rows by then."""
        until_us = self.market.now_us + int(duration_s * 1e6)
        if self.market.now_us == self.market.start_us:
            self._open()
        while self.market.now_us < until_us:
            self.market.advance(min(until_us, self.market.now_us + slice_us))
            yield self.market.now_us

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Hear trades: one row a level."""
        row = self._rows.get(market.coin.symbol)
        if row is None or market.is_silent:
            return
        ticks, lots = self._scale[market.coin.symbol]
        for trade_id, fill in enumerate(fills, first_id):
            self._sink.append(
                Kind.TRADE,
                row,
                at_us=at_us,
                received_us=at_us + self._latency_us,
                price=fill.tick / ticks,
                amount=fill.lots / lots,
                side=side,
                key=trade_id,
            )

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Hear changed levels: one message, closed by LAST."""
        symbol = market.coin.symbol
        row = self._rows.get(symbol)
        if row is None:
            return
        if market.is_silent:
            self._frozen_us.setdefault(symbol, at_us)
        elif symbol in self._frozen_us:
            self._thaw(market, row, at_us)
        elif self._has_book:
            self._levels(market, at_us, diff.levels, key=diff.last_id)

    def _open(self) -> None:
        for symbol, row in self._rows.items():
            self._status(row, self.market.start_us, Status.LIVE)
            if self._has_book:
                self._snapshot(self.market.by_symbol[symbol], self.market.start_us)

    def _thaw(self, market: CoinMarket, row: int, at_us: int) -> None:
        last_us = self._frozen_us.pop(market.coin.symbol)
        self._sink.append(Kind.GAP, row, at_us=at_us, received_us=at_us + self._latency_us, side=Channel.ALL, key=last_us)
        if self._has_book:
            self._snapshot(market, at_us)

    def _snapshot(self, market: CoinMarket, at_us: int) -> None:
        levels = [(side, tick, lots) for side in (BID, ASK) for tick, lots in market.book.levels(side)]
        self._levels(market, at_us, levels, key=market.book.update_id, flag=Flag.SNAPSHOT)

    def _levels(
        self, market: CoinMarket, at_us: int, levels: Sequence[tuple[int, int, int]], *, key: int, flag: int = Flag.NONE
    ) -> None:
        symbol = market.coin.symbol
        row = self._rows[symbol]
        ticks_scale, lots_scale = self._scale[symbol]
        last = len(levels) - 1
        append, received_us = self._sink.append, at_us + self._latency_us
        for place, (side, tick, lots) in enumerate(levels):
            append(
                Kind.LEVEL,
                row,
                at_us=at_us,
                received_us=received_us,
                price=tick / ticks_scale,
                amount=lots / lots_scale,
                side=side,
                key=key,
                flags=flag | Flag.LAST if place == last else flag,
            )

    def _candle(self, row: int, minute: Minute) -> None:
        """Write a candle as guard_ccxt does: open, the two ends in the order of the move, close; sides are those of the moves."""
        between = (minute.low, minute.high) if minute.close >= minute.open else (minute.high, minute.low)
        end_us = min(minute.at_us + MINUTE_US, self.market.start_us)
        before = minute.open - (minute.close - minute.open)
        for place, price in enumerate((minute.open, *between, minute.close)):
            self._sink.append(
                Kind.TRADE,
                row,
                at_us=minute.at_us + place * (end_us - minute.at_us) // 4,
                received_us=self.market.start_us,
                price=price,
                amount=minute.volume / 4.0,
                side=BUY if price > before else SELL if price < before else 0,
                flags=Flag.BACKFILL | Flag.INFERRED_SIDE,
            )
            before = price

    def _status(self, row: int, at_us: int, status: Status) -> None:
        self._sink.append(Kind.STATUS, row, at_us=at_us, received_us=at_us + self._latency_us, side=Channel.ALL, key=status)


def fill(
    sink: Sink,
    *,
    duration_s: float,
    history_s: float = 0.0,
    earlier_s: float = 0.0,
    slice_us: int = SLICE_US,
    **options: Any,  # noqa: ANN401 - the options of VirtualMarket
) -> Sequence[Truth]:
    """Write `duration_s` of the market into `sink` and return the truth of the schedule.

    Before it come `history_s` of its past as BACKFILL candles, or `earlier_s` of its past as plain trades. `options` are those of
    `VirtualMarket`.

    Examples
    --------
    >>> from guard.model import Batch
    >>> batch = Batch(capacity=20_000)
    >>> truth = fill(batch, duration_s=2.0, schedule="calm")
    >>> len(batch) > 2_000, list(truth)
    (True, [])
    """
    market = VirtualMarket(sink, **options)
    if history_s:
        market.fill_past(history_s=history_s)
    if earlier_s:
        market.fill_earlier_trades(history_s=earlier_s)
    for _ in market.play(duration_s, slice_us=slice_us):
        pass
    return market.truth


def events(*, duration_s: float, history_s: float = 0.0, **options: Any) -> Iterator[Row]:  # noqa: ANN401 - likewise
    """Yield the same rows one by one, in bounded memory."""
    rows: list[Row] = []
    market = VirtualMarket(_Rows(rows), **options)
    if history_s:
        market.fill_past(history_s=history_s)
    for _ in market.play(duration_s):
        yield from rows
        rows.clear()


class _Rows:
    """A sink that keeps rows as tuples."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        received_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        key: int = 0,
        flags: int = 0,
    ) -> None:
        """Take one row."""
        self._rows.append(Row(int(kind), market, at_us, received_us, price, amount, int(side), int(key), int(flags)))


def _facts_of(name: str, coin: Coin) -> MarketFacts:
    return MarketFacts(
        market=Market(name, coin.symbol),
        market_class=MarketClass.MAJOR if coin.is_major else MarketClass.SPOT,
        tick=coin.tick,
        lot=coin.lot,
        usd_rate=1.0,
        volume_24h_usd=coin.trades_per_s * 86_400 * coin.order_usd * 1.65,
        listed_us=START_US - 400 * 86_400_000_000,
    )
