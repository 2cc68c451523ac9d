"""What the kernel can read of kept trades, of other markets, and of the data itself."""

from __future__ import annotations

from typing import Final

from guard.features.arguments import BEGUN, STRETCHED, TRADES, W
from guard.features.tables import Argument, Cost, Field, Type, Unit

__all__ = ["MARKET_FIELDS", "PRINT_FIELDS"]

_KEPT: Final = f"2 trades in 24 h and {BEGUN}"
_WASH: Final = "share on real tape at most 0.95 % over 109 windows, 14.9 % with 30 % naive wash"
_SHARED: Final = "sizes are counted in 1,021 buckets by hash: two sizes may count as one"

PRINT_FIELDS: Final[tuple[Field, ...]] = (
    Field(
        "prints_count",
        Unit.COUNT,
        "Number of kept trades: the last 500, at most 24 h old.",
        formula="count of kept trades",
        minimum=BEGUN,
        source=TRADES,
    ),
    Field(
        "prints_pairs",
        Unit.RATIO,
        "Share of kept trades with the size of the one before, its opposite side, within 2 s.",
        formula="count of i with amount_i = amount_(i-1), side_i = -side_(i-1), t_i - t_(i-1) <= 2 s, over all pairs (i - 1, i) "
        "without a hole between",
        minimum=_KEPT,
        source=_WASH,
        cost=Cost.SUM,
    ),
    Field(
        "prints_alternation",
        Unit.RATIO,
        "Share of kept trades on the other side than the one before.",
        formula="count of i with side_i = -side_(i-1), over all pairs (i - 1, i) without a hole between",
        minimum=_KEPT,
        source="two accounts that trade with each other take turns",
        cost=Cost.SUM,
    ),
    Field(
        "prints_path",
        Unit.RATIO,
        "Sum of relative price changes from one kept trade to the next.",
        formula="sum of |price_i - price_(i-1)| / price_i over pairs (i - 1, i) without a hole between",
        minimum=_KEPT,
        source="wash trading moves volume, not the price",
        cost=Cost.SUM,
        bound="rounding of sums of doubles",
    ),
    Field(
        "prints_turnover",
        Unit.QUOTE,
        "Value of the kept trades but the oldest, in quote.",
        formula="sum of price_i * amount_i, the oldest left out as it has no change of price",
        minimum=_KEPT,
        source=TRADES,
        cost=Cost.SUM,
        bound="rounding of sums of doubles",
    ),
    Field(
        "prints_top_size",
        Unit.RATIO,
        "Share of the most frequent size among kept trades.",
        formula="max over sizes of count, over n",
        minimum=f"1 trade in 24 h and {BEGUN}",
        source="Cong, Li, Tang, Yang 2023: sizes of wash trades cluster",
        cost=Cost.WALK,
        bound=f"never below the exact share; {_SHARED}",
    ),
    Field(
        "prints_entropy",
        Unit.RATIO,
        "Entropy of the sizes of kept trades over its largest value: 1 = all differ.",
        formula="(log n - sum of c log c / n) / log n, c = count of each size",
        minimum=_KEPT,
        source="Cong, Li, Tang, Yang 2023: sizes of wash trades cluster",
        cost=Cost.SUM,
        bound=f"never above the exact entropy, 0.02 below it on recorded trades and 0.05 where all 500 sizes differ; {_SHARED}",
    ),
)

MARKET_FIELDS: Final[tuple[Field, ...]] = (
    Field(
        "beta",
        Unit.NONE,
        "Slope of the market's minute returns on the reference market's, shrunk towards 1; 0 without one.",
        formula="(sum w x y + 6e-5) / (sum w x^2 + 6e-5) over traded minutes, y own and x the reference's log return between last "
        "trades of minutes, w = (1 - 1/1440)^(minutes since)",
        minimum="none: 1 before there is any, 0 without a reference market",
        source="Vasicek 1973: a slope shrunk towards 1; the prior weighs 60 minutes of 0.1 %",
    ),
    Field(
        "reference_ret",
        Unit.RATIO,
        "Return of the reference market over the window; 0 where the exchange has none.",
        (W,),
        formula="price / price before the window - 1, both of the reference market",
        minimum="the reference's trades unbroken over the window",
        source=TRADES,
        cost=Cost.SUM,
        bound=STRETCHED + "; unknown where the reference is ahead by more than 2 s and has overwritten the edge",
    ),
    Field(
        "reference_gap",
        Unit.RATIO,
        "Log distance of the reference market's price from its average of 600 s; 0 where the exchange has none.",
        formula="log(price / ewma_price) of the reference market",
        minimum="600 s of the reference's trades",
        source=TRADES,
    ),
    Field(
        "age",
        Unit.DURATION,
        "Time since the last trade or book message arrived.",
        (Argument("of", Type.TEXT, "trades", ("trades", "book")),),
        stream="market",
        formula="now - latest arrival, by the local clock, at least 0",
        minimum="1 trade or whole book",
        source="time of arrival",
    ),
    Field(
        "gaps",
        Unit.COUNT,
        "Gaps in the streams during the window; known even where they make all else unknown.",
        (W,),
        stream="market",
        formula="count of gaps",
        minimum="none",
        source="the connector's sequence numbers",
        cost=Cost.SUM,
        bound=STRETCHED,
    ),
    Field(
        "usd_rate",
        Unit.USD,
        "USD value of one unit of quote.",
        stream="market",
        formula="the last rate told",
        minimum="a rate",
        source="the connector's conversion",
    ),
    Field(
        "volume_24h_usd",
        Unit.USD,
        "Turnover of the last 24 h as the exchange tells it, in USD.",
        stream="market",
        formula="the last figure told",
        minimum="a figure",
        source="the exchange's ticker",
    ),
)
