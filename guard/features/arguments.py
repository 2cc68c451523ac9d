"""Arguments and sentences that rows of the feature tables share."""

from __future__ import annotations

from typing import Final

from guard.features.tables import WINDOW_BOUNDS_US, Argument, Type

__all__: list[str] = []

W: Final = Argument("w", Type.DURATION, bounds=WINDOW_BOUNDS_US)
TAKER: Final = Argument("side", Type.TEXT, "buy", ("buy", "sell", "both"))
TAKER_SIDE: Final = Argument("side", Type.TEXT, "buy", ("buy", "sell"))
RESTING: Final = Argument("side", Type.TEXT, "both", ("bid", "ask", "both"))
RESTING_SIDE: Final = Argument("side", Type.TEXT, "bid", ("bid", "ask"))
BAND: Final = Argument("band", Type.RATIO)
SIX_HOURS: Final = Argument("baseline", Type.DURATION, 21_600_000_000.0)
DAY: Final = Argument("baseline", Type.DURATION, 86_400_000_000.0)
SHORT: Final = Argument("short", Type.DURATION, 21_600_000_000.0)
LONG: Final = Argument("long", Type.DURATION, 259_200_000_000.0)
TAU: Final = Argument("tau", Type.DURATION, 600_000_000.0, bounds=WINDOW_BOUNDS_US)
OVER: Final = Argument("over", Type.DURATION, 3_600_000_000.0, bounds=WINDOW_BOUNDS_US)

TRADES: Final = "the exchange's trades"
BOOK: Final = "the exchange's book"
THIN: Final = "52-76 % of the minutes of thin coins are empty: whole-tape median and deviation are 0"
COVERED: Final = "an unbroken stream over the whole window, over 90 % of it above 5 min"
BEGUN: Final = "a stream that is not lost"
WHOLE_BOOK: Final = "a whole book that is not crossed"
BINS: Final = "80 bins, counted by weight, that the stream covered from end to end"
MINUTES: Final = "30 minutes with trades, counted by weight"
SECONDS: Final = "30 samples, counted by weight"

STRETCHED: Final = "the window reaches up to 5 % further back, to the beginning of a bin; late trades count when they come"
QUARTER_OCTAVE: Final = "at most 19 % above the exact quantile; renewed once 1 % is new, and equal bins weigh as one within 0.3 %"
MIDDLE: Final = "within 9.1 % of the exact weighted median; renewed once 1 % is new"
MOMENT: Final = "within 0.19 of the exact one, as values and median are those of buckets; renewed once 1 % is new"
EIGHTH_MIDDLE: Final = "within 4.5 % of the exact weighted median; renewed once 1 % is new"
EIGHTH_MOMENT: Final = "within 0.1 of the exact one; renewed once 1 % is new"
EIGHTH_OCTAVE: Final = "at most 9.1 % above the exact quantile; renewed once 1 % is new"
QUARTER_BELOW: Final = (
    "at most 16 % below the exact quantile, and 0 where it is; renewed once 1 % is new, and equal bins weigh as one within 0.3 %"
)
QUARTER_MIDDLE: Final = "within 9.1 % of the exact weighted median, and 0 where it is; renewed once 1 % is new"
EIGHTH_BELOW: Final = "at most 8.3 % below the exact quantile; renewed once 1 % is new, and equal samples weigh as one within 0.3 %"
