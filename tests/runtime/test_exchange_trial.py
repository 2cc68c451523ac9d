"""What a trial reads from the rows it is given, and how it ends when a connector fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from guard.errors import Disconnected
from guard.model import BUY, SELL, Channel, Flag, Kind, Market, MarketFacts, Status
from guard.model.ports import ConnectorHealth
from guard.runtime.exchange_trial import Meter, try_exchange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.model.ports import Sink

NOW_US = 1_700_000_000_000_000


class LoopClock:
    def now_us(self) -> int:
        return NOW_US + self.monotonic_us()

    def monotonic_us(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e6)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class StillClock(LoopClock):
    def monotonic_us(self) -> int:
        return 7


def trade(meter: Meter, at_us: int, side: int, price: float, *, late_us: int = 1000, flags: int = 0) -> None:
    meter.append(Kind.TRADE, 0, at_us=at_us, received_us=at_us + late_us, price=price, amount=1.0, side=side, flags=flags)


def test_single_fills_are_told_by_stamp_side_and_price() -> None:
    meter = Meter(StillClock())
    for at_us, side, price in ((NOW_US, BUY, 1.0), (NOW_US, BUY, 1.0), (NOW_US, BUY, 1.1), (NOW_US, SELL, 1.1)):
        trade(meter, at_us, side, price)
    assert (meter.same_order, meter.same_price, meter.stamp()) == (2, 1, "s")


def test_stamps_are_as_fine_as_the_finest() -> None:
    meter = Meter(StillClock())
    assert meter.stamp() == "unknown"
    trade(meter, NOW_US, BUY, 1.0)
    trade(meter, NOW_US + 5_000, BUY, 1.0)
    assert meter.stamp() == "ms"
    trade(meter, NOW_US + 5_001, BUY, 1.0)
    assert meter.stamp() == "us"


def test_the_past_is_no_event() -> None:
    meter = Meter(StillClock())
    trade(meter, NOW_US, BUY, 1.0, flags=Flag.BACKFILL)
    assert (meter.past, dict(meter.events), meter.latency_ms()) == (1, {}, None)


def test_a_book_message_is_one_event() -> None:
    meter = Meter(StillClock())
    for flags in (0, 0, Flag.LAST):
        meter.append(Kind.LEVEL, 0, at_us=NOW_US, received_us=NOW_US, price=1.0, amount=1.0, side=BUY, flags=flags)
    assert meter.events == {Channel.BOOK: 1}


def test_latency_is_median_and_99th_percentile() -> None:
    meter = Meter(StillClock())
    for late_ms in range(1, 101):
        trade(meter, NOW_US + late_ms, BUY, 1.0, late_us=late_ms * 1000)
    assert meter.latency_ms() == (51.0, 100.0)


class Failing:
    """A connector of one market whose stream, or past, fails."""

    def __init__(self, *, stream: Exception | None = None, history: Exception | None = None) -> None:
        self.stream_error, self.history_error = stream, history
        self.is_closed = False

    async def open(self) -> Sequence[MarketFacts]:
        return [MarketFacts(Market("x", "A/B"), streams=frozenset({"trades"}))]

    async def history(self, market: Market, row: int, sink: Sink, *, since_us: int) -> None:
        del market, row, sink, since_us
        if self.history_error is not None:
            raise self.history_error

    async def stream(self, markets: Mapping[Market, int], sink: Sink) -> None:
        del markets
        if self.stream_error is not None:
            raise self.stream_error
        sink.append(Kind.STATUS, 0, at_us=NOW_US, received_us=NOW_US, side=Channel.TRADES, key=Status.LIVE)
        await asyncio.Event().wait()

    def follow(self, markets: Mapping[Market, int]) -> None:
        raise AssertionError(markets)

    def resync(self, market: Market) -> None:
        raise AssertionError(market)

    async def close(self) -> None:
        self.is_closed = True

    def health(self) -> ConnectorHealth:
        return ConnectorHealth(0, {}, 0, 0, 0, 0.0, {}, None)


@pytest.mark.parametrize(
    ("connector", "failures", "history"),
    [
        (Failing(), (), "0 rows of the last hour (candles and trades)"),
        (Failing(history=Disconnected("no")), (), "failed: Disconnected: no"),
        (
            Failing(stream=Disconnected("gone")),
            ("the stream ended: Disconnected: gone", "trades: not live within 0.05 s"),
            "0 rows of the last hour (candles and trades)",
        ),
    ],
    ids=["well", "past", "stream"],
)
async def test_what_fails_is_told_and_the_connector_is_closed(connector: Failing, failures: tuple[str, ...], history: str) -> None:
    trial = await try_exchange(lambda: connector, symbol=None, seconds=0.05, clock=LoopClock())
    assert trial.failures == failures
    assert trial.rest["history"] == history
    assert list(trial.streams) == ["trades"]
    assert connector.is_closed
