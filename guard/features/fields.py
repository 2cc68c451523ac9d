"""Everything the kernel can read of a market: the leaves of all formulas."""

from __future__ import annotations

from typing import Final

from guard.features.tables import WINDOW_BOUNDS_US, Argument, Field, Type, Unit

__all__ = ["FIELDS", "FIELDS_BY_NAME"]

_W: Final = Argument("w", Type.DURATION, bounds=WINDOW_BOUNDS_US)
_TAKER: Final = Argument("side", Type.TEXT, "buy", ("buy", "sell", "both"))
_SIDE: Final = Argument("side", Type.TEXT, "both", ("bid", "ask", "both"))
_SIX_HOURS: Final = 21_600_000_000.0
_DAY: Final = 86_400_000_000.0

FIELDS: Final[tuple[Field, ...]] = (
    # Trades.
    Field("price", Unit.QUOTE, "Last traded price, in quote per base."),
    Field("open_price", Unit.QUOTE, "Last price before the window, in quote per base.", (_W,)),
    Field("high", Unit.QUOTE, "Highest traded price of the window, in quote per base.", (_W,)),
    Field("low", Unit.QUOTE, "Lowest traded price of the window, in quote per base.", (_W,)),
    Field(
        "ewma_price",
        Unit.QUOTE,
        "Price averaged with exponential weights of 600 s, each price as long as it held; in quote per base.",
    ),
    Field("volume", Unit.BASE, "Traded amount of the window, in base.", (_W,)),
    Field("buy_volume", Unit.BASE, "Amount that takers bought in the window, in base.", (_W,)),
    Field("turnover", Unit.QUOTE, "Traded value of the window, in quote.", (_W,)),
    Field("buy_turnover", Unit.QUOTE, "Value that takers bought in the window, in quote.", (_W,)),
    Field(
        "buy_share", Unit.RATIO, "Share of the volume that takers bought; unknown above 20 % of volume with inferred side.", (_W,)
    ),
    Field("trades", Unit.COUNT, "Number of trades in the window.", (_W,)),
    Field("unsure_volume", Unit.BASE, "Amount whose taker side was inferred or is unknown, in base.", (_W,)),
    Field("squares", Unit.NONE, "Sum of squared log returns between the seconds in which the market traded.", (_W,)),
    Field(
        "rush",
        Unit.COUNT,
        "Price levels that takers swept: prints beyond the one before on their side, at most 1 s after it.",
        (_W, _TAKER),
    ),
    Field("rush_orders", Unit.COUNT, "Taker orders, prints of one side with one stamp, that swept several levels.", (_W, _TAKER)),
    Field("rush_seconds", Unit.COUNT, "Seconds in which takers swept levels: many in a row are many hands.", (_W, _TAKER)),
    Field(
        "high_buys",
        Unit.QUOTE,
        "Bought value that a bin of w seldom exceeds, in quote: the highest own quantile known, up to 99.9 %, but at least 20 "
        "medians of the non-empty bins and, where a USD rate is known, 500 USD.",
        (_W,),
    ),
    Field(
        "high_rush",
        Unit.COUNT,
        "Swept price levels that a bin of w seldom exceeds: the highest own quantile known, up to 99.9 %.",
        (_W, Argument("side", Type.TEXT, "buy", ("buy", "sell"))),
    ),
    Field(
        "minute_median",
        Unit.QUOTE,
        "Median turnover of the minutes with trades, decayed over the baseline, in quote; unknown below 30 of them.",
        (Argument("baseline", Type.DURATION, _SIX_HOURS),),
    ),
    Field(
        "minute_mean",
        Unit.NONE,
        "Mean of log(1 + turnover / median) over all minutes of the baseline, empty ones included.",
        (Argument("baseline", Type.DURATION, _SIX_HOURS),),
    ),
    Field(
        "minute_sd",
        Unit.NONE,
        "Standard deviation of log(1 + turnover / median) over all minutes of the baseline.",
        (Argument("baseline", Type.DURATION, _SIX_HOURS),),
    ),
    Field("tick", Unit.QUOTE, "Smallest price step: as the exchange tells it, else the smallest seen, in quote per base."),
    Field("beta", Unit.NONE, "Slope of the market's minute returns on the reference market's, shrunk towards 1; 0 without one."),
    Field("reference_ret", Unit.RATIO, "Return of the reference market over the window; 0 where the exchange has none.", (_W,)),
    Field(
        "reference_gap",
        Unit.RATIO,
        "Log distance of the reference market's price from its average of 600 s; 0 where the exchange has none.",
    ),
    Field("prints_count", Unit.COUNT, "Number of kept trades: the last 500, at most 24 h old."),
    Field("prints_pairs", Unit.RATIO, "Share of kept trades with the size of the one before, its opposite side, within 2 s."),
    Field("prints_alternation", Unit.RATIO, "Share of kept trades on the other side than the one before."),
    Field("prints_path", Unit.RATIO, "Sum of relative price changes from one kept trade to the next."),
    Field("prints_turnover", Unit.QUOTE, "Value of the kept trades, in quote."),
    Field("prints_top_size", Unit.RATIO, "Share of the most frequent size among kept trades."),
    Field("prints_entropy", Unit.RATIO, "Entropy of the sizes of kept trades over its largest value: 1 = all differ."),
    # Book.
    Field("mid", Unit.QUOTE, "Mean of best bid and best ask, in quote per base.", stream="book"),
    Field("bid", Unit.QUOTE, "Best bid, in quote per base.", stream="book"),
    Field("ask", Unit.QUOTE, "Best ask, in quote per base.", stream="book"),
    Field("open_mid", Unit.QUOTE, "Mid before the window, in quote per base.", (_W,), stream="book"),
    Field("spread", Unit.RATIO, "Best ask less best bid, over the mid.", stream="book"),
    Field(
        "depth",
        Unit.QUOTE,
        "Value resting within the band of the mid, in quote; the band is at least 2 usual spreads and 5 ticks.",
        (Argument("band", Type.RATIO), _SIDE),
        stream="book",
    ),
    Field("level_churn", Unit.COUNT, "Book levels changed in the window.", (_W,), stream="book"),
    Field(
        "removed_unfilled",
        Unit.QUOTE,
        "Value added within 25 bp of the mid and removed within 30 s with less than 5 % of it traded, in quote.",
        (_W, _SIDE),
        stream="book",
    ),
    Field(
        "high_removed",
        Unit.QUOTE,
        "Unfilled removals that a bin of w seldom exceeds, in quote: the highest own quantile known, up to 99.9 %.",
        (_W, Argument("side", Type.TEXT, "bid", ("bid", "ask"))),
        stream="book",
    ),
    Field(
        "spread_median",
        Unit.RATIO,
        "Median spread, sampled each second, decayed over the baseline; unknown below 30 samples.",
        (Argument("baseline", Type.DURATION, _DAY),),
        stream="book",
    ),
    Field(
        "spread_mean",
        Unit.NONE,
        "Mean of log(1 + spread / median), sampled each second, decayed over the baseline.",
        (Argument("baseline", Type.DURATION, _DAY),),
        stream="book",
    ),
    Field(
        "spread_sd",
        Unit.NONE,
        "Standard deviation of log(1 + spread / median), sampled each second, decayed over the baseline.",
        (Argument("baseline", Type.DURATION, _DAY),),
        stream="book",
    ),
    Field(
        "spread_high",
        Unit.RATIO,
        "Spread that is seldom exceeded: the highest own quantile known, up to 99.9 % of the baseline's seconds.",
        (Argument("baseline", Type.DURATION, _DAY),),
        stream="book",
    ),
    Field("crossed", Unit.BOOL, "1 while the last book message left a bid at or above an ask, else 0.", stream="book"),
    Field("crossings", Unit.COUNT, "Book messages of the window that left the book crossed.", (_W,), stream="book"),
    Field(
        "inside_volume",
        Unit.BASE,
        "Amount printed strictly between bid and ask of a book at most 100 ms old, in base.",
        (_W,),
        stream="book",
    ),
    Field(
        "divergence",
        Unit.RATIO,
        "Distance of the mid from the median mid of the symbol over at least 3 exchanges whose book is younger than fresh.",
        (Argument("fresh", Type.DURATION, 2_000_000.0),),
        stream="peers",
    ),
    # The market and its data.
    Field(
        "age",
        Unit.DURATION,
        "Time since the last trade or book message arrived.",
        (Argument("of", Type.TEXT, "trades", ("trades", "book")),),
        stream="market",
    ),
    Field(
        "gaps", Unit.COUNT, "Gaps in the streams during the window; known even where they make all else unknown.", (_W,), "market"
    ),
    Field("usd_rate", Unit.USD, "USD value of one unit of quote.", stream="market"),
    Field("volume_24h_usd", Unit.USD, "Turnover of the last 24 h as the exchange tells it, in USD.", stream="market"),
)

FIELDS_BY_NAME: Final = {field.name: field for field in FIELDS}
