"""Which of an exchange's markets are watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.dsl.patterns import matches_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.model import MarketFacts

__all__ = ["choose"]


def choose(
    offered: Iterable[MarketFacts],
    *,
    markets: Sequence[str],
    exclude: Sequence[str] = (),
    quotes: Sequence[str] = (),
    markets_max: int,
) -> tuple[list[MarketFacts], int]:
    """Return the markets to watch, the busiest first, and how many more were asked for than `markets_max` allows.

    `markets` and `exclude` are patterns of symbols (``*/USDT``); `quotes` limits the quote asset, empty for all. A market that
    is written out in `markets`, without a star, always comes before those that a star found.
    """
    wanted = [
        facts
        for facts in offered
        if matches_any(markets, facts.market.symbol)
        and not matches_any(exclude, facts.market.symbol)
        and (not quotes or facts.market.quote in quotes)
    ]
    named = set(markets)
    wanted.sort(key=lambda f: (f.market.symbol not in named, -(f.volume_24h_usd or 0.0), f.market.symbol))
    return wanted[:markets_max], max(0, len(wanted) - markets_max)
