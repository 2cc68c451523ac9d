"""A look at one exchange as it is now: connect, stream one market for some seconds, and tell what came."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.errors import ConfigurationError, GuardError
from guard.model import Channel, Flag, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.model import Market, MarketFacts
    from guard.model.ports import Clock, Connector, ConnectorHealth

__all__ = ["Meter", "StreamTrial", "Trial", "try_exchange"]

_OPEN_S: Final = 60.0
_CLOSE_S: Final = 10.0
_HISTORY_US: Final = 3_600_000_000
_LATENCIES_MAX: Final = 50_000
_ERROR_MAX: Final = 300
_CHANNELS: Final = {"trades": Channel.TRADES, "book": Channel.BOOK}


class StreamTrial(NamedTuple):
    """One stream: seconds until it was live and until its first event, None where that did not come; its events (book messages)."""

    live_s: float | None
    first_s: float | None
    events: int


class Trial(NamedTuple):
    """What a trial found.

    `rest` tells for each kind of REST answer what came. `latency_ms` is (median, 99th percentile) of received - exchange time.
    `same_order` counts trades with stamp and side of the one before, `same_price` those that have its price too. `health` are the
    connector's details, `failures` what keeps a guard from working there, `notes` what the connector lives with.
    """

    market: str | None
    markets: int
    seconds: float
    streams: Mapping[str, StreamTrial]
    rest: Mapping[str, str]
    trades: int
    same_order: int
    same_price: int
    stamp: str
    latency_ms: tuple[float, float] | None
    health: Mapping[str, Any]
    failures: tuple[str, ...]
    notes: tuple[str, ...]


class Meter:
    """A sink that counts what it is given. Times are monotonic microseconds."""

    def __init__(self, clock: Clock) -> None:
        self.live_us: dict[int, int] = {}
        self.first_us: dict[int, int] = {}
        self.events: dict[int, int] = {}
        self.past = 0
        self.same_order = 0
        self.same_price = 0
        self.is_whole_ms = True
        self.is_whole_s = True
        self.latencies_us: deque[int] = deque(maxlen=_LATENCIES_MAX)
        self._clock = clock
        self._before: tuple[int, int, float] | None = None

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
        del market, amount
        if kind == Kind.STATUS:
            if key == Status.LIVE:
                self.live_us.setdefault(side, self._clock.monotonic_us())
        elif kind == Kind.TRADE:
            if flags & Flag.BACKFILL:
                self.past += 1
            else:
                self._event(Channel.TRADES, at_us, received_us)
                self._print(at_us, side, price)
        elif kind == Kind.LEVEL and flags & Flag.LAST:
            self._event(Channel.BOOK, at_us, received_us)

    def latency_ms(self) -> tuple[float, float] | None:
        """Return median and 99th percentile of received - exchange time; None where no event came."""
        if not self.latencies_us:
            return None
        ordered = sorted(self.latencies_us)
        return ordered[len(ordered) // 2] / 1000, ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)] / 1000

    def stamp(self) -> str:
        """Return the coarsest resolution that the trades' stamps fit: ``s``, ``ms``, ``us`` or ``unknown``."""
        if not self.events.get(Channel.TRADES):
            return "unknown"
        return "s" if self.is_whole_s else "ms" if self.is_whole_ms else "us"

    def _event(self, channel: int, at_us: int, received_us: int) -> None:
        self.first_us.setdefault(channel, self._clock.monotonic_us())
        self.events[channel] = self.events.get(channel, 0) + 1
        self.latencies_us.append(received_us - at_us)

    def _print(self, at_us: int, side: int, price: float) -> None:
        before, self._before = self._before, (at_us, side, price)
        self.is_whole_s = self.is_whole_s and at_us % 1_000_000 == 0
        self.is_whole_ms = self.is_whole_ms and at_us % 1_000 == 0
        if before is not None and before[:2] == (at_us, side):
            self.same_order += 1
            self.same_price += before[2] == price


async def try_exchange(connect: Callable[[], Connector], *, symbol: str | None, seconds: float, clock: Clock) -> Trial:
    """Stream `symbol` (None: the market with the most turnover) for so many seconds; raises ConfigurationError only."""
    connector, meter = connect(), Meter(clock)
    rest: dict[str, str] = {}
    failures: list[str] = []
    facts: Sequence[MarketFacts] = ()
    chosen, begun_us = None, clock.monotonic_us()
    try:
        try:
            async with asyncio.timeout(_OPEN_S):
                facts = await connector.open()
            opened_s = (clock.monotonic_us() - begun_us) / 1e6
            turnover = sum(one.volume_24h_usd is not None for one in facts)
            rest |= {"markets": f"{len(facts)} in {opened_s:.1f} s", "tickers": f"turnover of {turnover} markets"}
            chosen = _chosen(facts, symbol)
        except ConfigurationError:
            raise
        except TimeoutError:
            failures.append(f"cannot be opened: no answer within {_OPEN_S:g} s")
        except GuardError as error:
            failures.append(f"cannot be opened: {_short(error)}")
        begun_us = clock.monotonic_us()
        if chosen is not None:
            failed, health = await _stream(connector, chosen.market, meter, rest, seconds=seconds, clock=clock)
            failures += failed
        else:
            health = connector.health()
            failures += [f"has no market {symbol}"] if facts else []
    finally:
        await _close(connector)
    offered = frozenset[str]() if chosen is None else chosen.streams
    streams = {name: _stream_trial(meter, channel, begun_us) for name, channel in _CHANNELS.items() if name in offered}
    failures += [f"{name}: not live within {seconds:g} s" for name, one in streams.items() if one.live_s is None]
    return Trial(
        market=None if chosen is None else str(chosen.market),
        markets=len(facts),
        seconds=seconds,
        streams=streams,
        rest=rest,
        trades=meter.events.get(Channel.TRADES, 0),
        same_order=meter.same_order,
        same_price=meter.same_price,
        stamp=meter.stamp(),
        latency_ms=meter.latency_ms(),
        health={
            **(health.details or {}),
            **{name: getattr(health, name) for name in ("bad_frames", "reconnects", "gaps", "gap_seconds")},
            "rejected": dict(health.rejected),
            "connections": dict(health.connections),
        },
        failures=tuple(failures),
        notes=health.notes,
    )


async def _stream(
    connector: Connector, market: Market, meter: Meter, rest: dict[str, str], *, seconds: float, clock: Clock
) -> tuple[list[str], ConnectorHealth]:
    # Row 0 for what flows, another sink for what lies behind. The health is that of the streams while they flow.
    past = Meter(clock)
    streaming = asyncio.ensure_future(connector.stream({market: 0}, meter))
    reading = asyncio.ensure_future(connector.history(market, 0, past, since_us=clock.now_us() - _HISTORY_US))
    waiting = asyncio.ensure_future(clock.sleep(seconds))
    await asyncio.wait({streaming, waiting}, return_when=asyncio.FIRST_COMPLETED)
    has_ended, has_read, health = streaming.done(), reading.done(), connector.health()
    for task in (streaming, reading, waiting):
        task.cancel()
    stream_end, read_end, _ = await asyncio.gather(streaming, reading, waiting, return_exceptions=True)
    failures = []
    if has_ended:
        failures.append(f"the stream ended: {_short(stream_end) if isinstance(stream_end, BaseException) else 'without a word'}")
    if not has_read:
        rest["history"] = f"no answer within {seconds:g} s"
    elif isinstance(read_end, BaseException):
        rest["history"] = f"failed: {_short(read_end)}"
    else:
        rest["history"] = f"{past.past} rows of the last hour (candles and trades)"
    return failures, health


def _chosen(facts: Sequence[MarketFacts], symbol: str | None) -> MarketFacts | None:
    if symbol is not None:
        return next((one for one in facts if one.market.symbol == symbol), None)
    return max(facts, key=lambda one: (one.volume_24h_usd or 0.0, one.market.base == "BTC"), default=None)


def _stream_trial(meter: Meter, channel: int, begun_us: int) -> StreamTrial:
    live_us = meter.live_us.get(channel, meter.live_us.get(Channel.ALL))
    first_us = meter.first_us.get(channel)
    return StreamTrial(
        None if live_us is None else (live_us - begun_us) / 1e6,
        None if first_us is None else (first_us - begun_us) / 1e6,
        meter.events.get(channel, 0),
    )


async def _close(connector: Connector) -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await connector.close()
    except (GuardError, TimeoutError, OSError):
        return  # the process ends with the trial


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_MAX] if str(error) else type(error).__name__
