"""Named features of the book: formulas over fields, in guard's expression language."""

from __future__ import annotations

from typing import Final

from guard.features.arguments import BAND, BOOK, DAY, LONG, RESTING, RESTING_SIDE, SHORT, W
from guard.features.tables import Argument, Feature, Type, Unit

__all__ = ["BOOK_FEATURES"]

_WHOLE: Final = "a whole book that is not crossed"
_SECONDS: Final = "a whole book that is not crossed, and 30 sampled seconds"
_EATEN: Final = "the window of trades covered, and a whole book that is not crossed"
_POISON: Final = "a ramp poisons the short baseline first, the long one last"
_PERCENT: Final = Argument("band", Type.RATIO, 0.01)
_TWENTY_BP: Final = Argument("band", Type.RATIO, 0.002)

BOOK_FEATURES: Final[tuple[Feature, ...]] = (
    Feature(
        "spread_z",
        "(log(1 + spread() / spread_median(baseline)) - spread_mean(baseline)) / max(spread_sd(baseline), 0.25)",
        Unit.SIGMA,
        "Log spread against the market's own seconds.",
        (DAY,),
        source=BOOK,
        minimum=_SECONDS,
    ),
    Feature(
        "spread_z_either",
        "max(spread_z(short), spread_z(long))",
        Unit.SIGMA,
        "Log spread against the market's own seconds on the horizon on which it is more unusual.",
        (SHORT, LONG),
        source=_POISON,
        minimum=_SECONDS,
    ),
    Feature(
        "spread_z_both",
        "min(spread_z(short), spread_z(long))",
        Unit.SIGMA,
        "Log spread against the market's own seconds on the horizon on which it is less unusual.",
        (SHORT, LONG),
        source="an hour of the day that is always thin is usual on the long horizon",
        minimum=_SECONDS,
    ),
    Feature(
        "spread_ratio",
        "spread() / spread_median(baseline)",
        Unit.RATIO,
        "Spread over its own median.",
        (DAY,),
        source="a spread of five medians beyond the own 99.9 % is a blow-out",
        minimum=_SECONDS,
    ),
    Feature(
        "spread_excess",
        "spread() / spread_high(baseline)",
        Unit.RATIO,
        "Spread over what is seldom exceeded.",
        (DAY,),
        source="a spread of five medians beyond the own 99.9 % is a blow-out",
        minimum="a whole book that is not crossed, and 80 sampled seconds",
    ),
    Feature(
        "imbalance",
        "(depth(band, side=bid) - depth(band, side=ask)) / (depth(band, side=bid) + depth(band, side=ask))",
        Unit.RATIO,
        "Bids less asks over both, within the band: 1 = only bids.",
        (BAND,),
        source="Cont, Kukanov, Stoikov 2014: imbalance and price",
        minimum=_WHOLE,
    ),
    Feature(
        "mid_ret",
        "mid() / open_mid(w) - 1",
        Unit.RATIO,
        "Return of the mid over the window.",
        (W,),
        source=BOOK,
        minimum="the window of the book covered, and a straight book at both ends",
    ),
    Feature(
        "lead",
        "mid_ret(w) - peers_ret(w)",
        Unit.RATIO,
        "Return of the mid beyond that of the other exchanges.",
        (W,),
        source="a move that no other exchange shows is the market's own",
        minimum="the window of the book covered here and on 2 other exchanges",
    ),
    Feature(
        "ask_depletion",
        "buy_turnover(w) / (buy_turnover(w) + depth(band, side=ask))",
        Unit.RATIO,
        "Share of the asks, bought ones and resting ones together, that takers bought.",
        (W, _PERCENT),
        source="a pump eats the asks before the price shows it",
        minimum=_EATEN,
    ),
    Feature(
        "bid_depletion",
        "(turnover(w) - buy_turnover(w)) / (turnover(w) - buy_turnover(w) + depth(band, side=bid))",
        Unit.RATIO,
        "Share of the bids, hit ones and resting ones together, that takers hit.",
        (W, _PERCENT),
        source="a dump eats the bids before the price shows it",
        minimum=_EATEN,
    ),
    Feature(
        "inside_share",
        "inside_volume(w) / volume(w)",
        Unit.RATIO,
        "Share of the volume that was printed between the best prices of a fresh book.",
        (W,),
        source="a print where nothing rested met its own order",
        minimum="1 trade in the covered window, and a book",
    ),
    Feature(
        "bait",
        "removed_unfilled(w, side) / depth(band, side)",
        Unit.RATIO,
        "Value added near the mid and removed unfilled, over what rests there.",
        (W, RESTING_SIDE, _TWENTY_BP),
        source="measured, own injections: found 5, 51, 71 and 100 % at 0.5, 1, 2 and 4 times the depth",
        minimum="the window of the book covered, not crossed, and depth on that side",
    ),
    Feature(
        "bait_surge",
        "removed_unfilled(w, side) / max(high_removed(w, side), depth(band, side))",
        Unit.RATIO,
        "Value added near the mid and removed unfilled, over the greater of what rests there and what a bin of w seldom exceeds.",
        (W, RESTING_SIDE, _TWENTY_BP),
        source="measured, own injections: found 71 % at 2 times the depth with 1.2 false alarms an hour",
        minimum="the window of the book covered, not crossed, and 80 bins",
    ),
    Feature(
        "churn_surge",
        "level_churn(w) / high_churn(w)",
        Unit.RATIO,
        "Changed levels against what a bin of w seldom exceeds.",
        (W,),
        source="quote stuffing: many changes and few trades",
        minimum="the window of the book covered, and 80 bins",
    ),
    Feature(
        "vacuum",
        "depth(band, side) / depth_low(band, side, baseline)",
        Unit.RATIO,
        "What rests within the band, over what rests there in nine of ten seconds: below 1 the book is emptier than it usually is.",
        (BAND, RESTING, DAY),
        source="a flash crash falls through an empty book: depth goes first",
        minimum="a whole book that is not crossed, and 80 sampled seconds",
    ),
    Feature(
        "depth_ratio",
        "depth(band, side) / depth_median(band, side, baseline)",
        Unit.RATIO,
        "What rests within the band, over the own median.",
        (BAND, RESTING, DAY),
        source="a book is thin or deep by its own measure",
        minimum=_SECONDS,
    ),
    Feature(
        "depeg",
        "mid() * usd_rate() - 1",
        Unit.RATIO,
        "Distance of a stable coin's price from 1 USD; means nothing for other coins.",
        source="a stable coin is worth 1 USD",
        minimum="a whole book that is not crossed, and a USD rate",
    ),
    Feature(
        "churn_per_message",
        "level_churn(w) / book_messages(w)",
        Unit.COUNT,
        "Levels changed by each book message of the window.",
        (W,),
        source="quote stuffing: many changes and few trades",
        minimum="1 book message in the covered window",
    ),
    Feature(
        "ofi",
        "flow_imbalance(w) / depth(band)",
        Unit.RATIO,
        "Order-flow imbalance over what rests within the band.",
        (W, _TWENTY_BP),
        source="Cont, Kukanov, Stoikov 2014: order-flow imbalance",
        minimum="the window of the book covered, not crossed",
    ),
    Feature(
        "removed_share",
        "removed_unfilled(w, side) / added(w, side)",
        Unit.RATIO,
        "Value removed unfilled over value added, near the mid.",
        (W, RESTING_SIDE),
        source="what is removed means little without what was added",
        minimum="the window of the book covered, and something added",
    ),
)
