"""Trades of 200 markets over real sockets: what arrives, and what one costs, beside stock ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.runtime.bench.connected import TIERS, Exchange
from guard.runtime.bench.rows import Bar, Row, figure_of, judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guard.runtime.bench.plan import Plan

__all__ = ["Load", "delivered", "measure", "measured"]

_MARKETS = 200
_OURS = ("generic", "fast")
_READER = {"trades": "watch_trades_for_symbols", "book": "watch_order_book_for_symbols"}


class Load(NamedTuple):
    """What a round sends: `number` at `rate` a second (0: at once, on one market); `bars` are the tiers' most of stock's cost."""

    key: str
    title: str
    number: int
    rate: float
    stall_s: float = 0.0
    bars: Mapping[str, float] = {}


_LOADS = (
    Load("burst", "bursts of 5,000 on one market", 5_000, 0.0),
    Load("calm", f"{_MARKETS} markets, 1,000/s", 5_000, 1_000.0, bars={"generic": 0.4, "fast": 0.12}),
    Load("busy", f"{_MARKETS} markets, 10,000/s", 30_000, 10_000.0, bars={"generic": 0.5, "fast": 0.18}),
    Load("stall", f"{_MARKETS} markets, 2,000/s, the consumer stalled for 2 s", 8_000, 2_000.0, stall_s=2.0),
)


def measure(plan: Plan) -> Iterator[Row]:
    """Yield delivery and cost of trades."""
    with Exchange("trades", _MARKETS) as exchange:
        yield from measured(plan, exchange, "o", "trades", _LOADS)


def measured(plan: Plan, exchange: Exchange, key: str, what: str, loads: Sequence[Load]) -> Iterator[Row]:
    """Yield the rows of each load."""
    for load in loads:
        count = max(200, int(load.number * plan.scale))
        answers = []
        for number in range(plan.rounds + 1):
            found = exchange.round(number, count=count, rate=load.rate, stall_s=load.stall_s)
            if number:  # the first one warms
                answers.append(found)
        for tier in _OURS:
            yield delivered(f"{key}.{load.key}", f"{what} delivered: {load.title}", tier, answers)
        for tier, most in load.bars.items():
            row = Row(
                f"{key}.{load.key}.cost",
                f"processor for each of the {what}: {load.title}",
                "us",
                tier,
                Bar(most, is_ceiling=True),
                reference_name=f"stock {_READER[what]}",
            )
            yield judged(row, _cost(answers, tier), _cost(answers, "stock"))


def delivered(key: str, title: str, tier: str, answers: Sequence[Mapping[str, Mapping[str, float]]]) -> Row:
    """Return how much of what was sent arrived, in per cent; too much is as bad as too little."""
    shares = {
        one: [100.0 * answer[one]["received"] / answer[one]["sent"] for answer in answers] for one in TIERS if one in answers[0]
    }
    row = judged(Row(key, title, "%", tier, Bar(100.0, is_ceiling=False)), shares[tier])
    row = row._replace(is_met=set(shares[tier]) == {100.0})
    if "stock" not in shares:
        return row
    stock = figure_of(shares["stock"])
    return row._replace(note=f"stock ccxt: {stock.median:.4g} % ({stock.low:.4g} - {stock.high:.4g})")


def _cost(answers: Sequence[Mapping[str, Mapping[str, float]]], tier: str) -> list[float]:
    return [1e6 * answer[tier]["processor_s"] / answer[tier]["sent"] for answer in answers]
