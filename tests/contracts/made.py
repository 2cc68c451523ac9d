"""Streams of events for contracts: any that hypothesis makes, and one in which each pack has something to find."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from guard.model import ASK, BID, BUY, SELL, Batch, Channel, Flag, Kind, Market, MarketFacts, Status
from guard_sim import tape
from guard_sim.tape import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECOND: Final = 1_000_000
START: Final = tape.START_US
# One coin on three exchanges, so that they can be held against each other, beside the leader of the first.
FACTS: Final = (
    *(MarketFacts(Market(f"x{number}", "A/USDT"), streams=frozenset({"trades", "book", "peers"})) for number in range(3)),
    MarketFacts(Market("x0", "BTC/USDT")),
)
_STEPS: Final = (0, 0, 1_000, 40_000, 51_000, 300_000, SECOND, 2 * SECOND, 11 * SECOND, 61 * SECOND, 301 * SECOND, 1_801 * SECOND)


@st.composite
def streams(draw: st.DrawFn, *, size: int = 80) -> list[Row]:
    """Trades, books as a whole and by levels, holes, history and news of the streams, at any pace, some of them late."""
    wanted = st.tuples(
        st.sampled_from(("trade", "trade", "trade", "book", "level", "gap", "status", "past")),
        st.sampled_from(_STEPS),
        st.integers(0, len(FACTS) - 1),
        st.integers(90, 110),
        st.integers(1, 40),
        st.sampled_from((BUY, SELL)),
    )
    now_us, rows = START, [_status(row, START, Channel.ALL, Status.LIVE) for row in range(len(FACTS))]
    for kind, step, market, price, size_, side in draw(st.lists(wanted, max_size=size)):
        now_us += step
        rows += _rows(kind, market, now_us, price=float(price), amount=size_ / 4, side=side)
    return rows


def _rows(kind: str, market: int, now_us: int, *, price: float, amount: float, side: int) -> list[Row]:
    """Return the rows of one piece of news."""
    at_us = now_us - (2 * SECOND if amount == 1.25 else 0)
    if kind == "trade":
        return [Row(Kind.TRADE, market, at_us, now_us + 5, price, amount, side, 0, 0)]
    if kind == "past":
        return [Row(Kind.TRADE, market, START - 1 - int(amount * 60 * SECOND), now_us + 5, price, amount, side, 0, Flag.BACKFILL)]
    if kind == "book":
        flags = (Flag.SNAPSHOT, Flag.SNAPSHOT, Flag.SNAPSHOT, Flag.SNAPSHOT | Flag.LAST)
        levels = ((price - 0.1, BID), (price - 0.2, BID), (price + 0.1, ASK), (price + 0.2, ASK))
        return [
            Row(Kind.LEVEL, market, at_us, now_us + 5, each, amount, which, 0, flag)
            for (each, which), flag in zip(levels, flags, strict=True)
        ]
    if kind == "level":
        held = 0.0 if amount < 3 else amount
        return [Row(Kind.LEVEL, market, at_us, now_us + 5, price - 0.1 * side, held, side, 0, Flag.LAST)]
    channel = Channel.TRADES if side == BUY else Channel.BOOK
    if kind == "gap":
        return [Row(Kind.GAP, market, now_us, now_us + 5, 0.0, 0.0, channel, now_us - int(amount * SECOND), 0)]
    return [_status(market, now_us, channel, (Status.LOST, Status.LIVE, Status.STALLED, Status.WARM)[int(price) % 4])]


def _status(market: int, at_us: int, channel: int, key: int) -> Row:
    return Row(Kind.STATUS, market, at_us, at_us + 5, 0.0, 0.0, channel, key, 0)


def batch(rows: Sequence[Row]) -> Batch:
    """Return rows as a batch."""
    made = Batch(max(1, len(rows)))
    for row in rows:
        columns = row._asdict()
        made.append(columns.pop("kind"), columns.pop("market"), **columns)
    return made


SYMBOLS: Final = ("BTC/USDT", "MOON/USDT", "SUDS/USDT", "YAWN/USDT", "LAYR/USDT")
SEEDED: Final = tape.facts(symbols=list(SYMBOLS))
SECONDS: Final = 135
_SCHEDULE: Final = [
    {"pattern": "wash_trading", "symbol": "SUDS/USDT", "at": 60},
    {"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 80},
    {"pattern": "spread_blowout", "symbol": "YAWN/USDT", "at": 100},
]


@cache
def seeded() -> tuple[Row, ...]:
    """Return 135 s of five markets after a day of history: washing from 60 s, a pump from 80 s, a wide spread from 100 s on."""
    rows: Iterable[Row] = tape.events(duration_s=float(SECONDS), history_s=86_400.0, symbols=list(SYMBOLS), schedule=_SCHEDULE)
    return tuple(rows)


def is_live_trade(row: Row) -> bool:
    """Whether a row is a trade that was heard live."""
    return row.kind == Kind.TRADE and not row.flags & Flag.BACKFILL


def is_level(row: Row) -> bool:
    """Whether a row is of a book."""
    return row.kind == Kind.LEVEL


def with_hole(rows: Iterable[Row], channel: Channel, begin_s: float, end_s: float) -> list[Row]:
    """Return the rows without one channel for a while, as a connector tells of it: LOST and GAP, later GAP and LIVE."""
    begin_us, end_us = START + int(begin_s * SECOND), START + int(end_s * SECOND)
    is_of = is_level if channel is Channel.BOOK else is_live_trade
    found: list[Row] = []
    news = [(begin_us, Status.LOST), (end_us, Status.LIVE)]
    for row in rows:
        while news and row.at_us >= news[0][0] and row.received_us >= news[0][0]:
            at_us, status = news.pop(0)
            for market in range(len(SYMBOLS)):
                gap = Row(Kind.GAP, market, at_us, row.received_us, 0.0, 0.0, channel, begin_us, 0)
                told = Row(Kind.STATUS, market, at_us, row.received_us, 0.0, 0.0, channel, status, 0)
                found += [gap, told] if status is Status.LIVE else [told, gap]
        if not (is_of(row) and begin_us <= row.at_us < end_us):
            found.append(row)
    return found
