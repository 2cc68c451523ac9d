"""Named features: formulas over fields, in guard's expression language."""

from __future__ import annotations

from typing import Final

from guard.features.tables import WINDOW_BOUNDS_US, Argument, Feature, Type, Unit

__all__ = ["CATALOGUE"]

_W: Final = Argument("w", Type.DURATION, bounds=WINDOW_BOUNDS_US)
_BASELINE: Final = Argument("baseline", Type.DURATION, 21_600_000_000.0)
_DAY: Final = Argument("baseline", Type.DURATION, 86_400_000_000.0)

CATALOGUE: Final[tuple[Feature, ...]] = (
    Feature("ret", "price() / open_price(w) - 1", Unit.RATIO, "Return of the last price over the window.", (_W,)),
    Feature("log_ret", "log(price() / open_price(w))", Unit.RATIO, "Log return of the last price over the window.", (_W,)),
    Feature(
        "residual_ret",
        "ret(w) - beta() * reference_ret(w)",
        Unit.RATIO,
        "Return net of beta to the exchange's reference market; the plain return where there is none.",
        (_W,),
    ),
    Feature(
        "trend_gap",
        "log(price() / ewma_price())",
        Unit.RATIO,
        "Log distance of the price from its average of 600 s.",
    ),
    Feature(
        "residual_gap",
        "trend_gap() - beta() * reference_gap()",
        Unit.RATIO,
        "Log distance of the price from its average of 600 s, net of beta to the reference market.",
    ),
    Feature(
        "move_ticks",
        "abs(price() - open_price(w)) / tick()",
        Unit.COUNT,
        "Size of the window's move in price steps; below 3 a return is noise of the tick.",
        (_W,),
    ),
    Feature("vwap", "turnover(w) / volume(w)", Unit.QUOTE, "Average price by volume; unknown without trades.", (_W,)),
    Feature("volume_usd", "turnover(w) * usd_rate()", Unit.USD, "Traded value of the window, in USD.", (_W,)),
    Feature("sell_volume", "volume(w) - buy_volume(w)", Unit.BASE, "Amount not known as bought by takers, in base.", (_W,)),
    Feature(
        "vol_z",
        "(log(1 + turnover(w) * min(1, 60s / w) / minute_median(baseline)) - minute_mean(baseline))"
        " / max(minute_sd(baseline), 0.25)",
        Unit.SIGMA,
        "Log turnover against the market's own minutes, empty ones included; a longer window counts by its mean minute, a shorter "
        "one as it is.",
        (_W, _BASELINE),
        source="52-76 % of the minutes of thin coins are empty: whole-tape median and deviation are 0",
    ),
    Feature(
        "buy_surge", "buy_turnover(w) / high_buys(w)", Unit.RATIO, "Bought value against what a bin of w seldom exceeds.", (_W,)
    ),
    Feature(
        "realized_vol",
        "max(sqrt(squares(w)), tick() / price())",
        Unit.RATIO,
        "Root of summed squared returns between seconds, at least one tick.",
        (_W,),
    ),
    Feature(
        "spread_z",
        "(log(1 + spread() / spread_median(baseline)) - spread_mean(baseline)) / max(spread_sd(baseline), 0.25)",
        Unit.SIGMA,
        "Log spread against the market's own seconds.",
        (_DAY,),
    ),
    Feature("spread_ratio", "spread() / spread_median(baseline)", Unit.RATIO, "Spread over its own median.", (_DAY,)),
    Feature(
        "imbalance",
        "(depth(band, side=bid) - depth(band, side=ask)) / depth(band)",
        Unit.RATIO,
        "Bids less asks over both, within the band: 1 = only bids.",
        (Argument("band", Type.RATIO),),
    ),
    Feature("mid_ret", "mid() / open_mid(w) - 1", Unit.RATIO, "Return of the mid over the window.", (_W,)),
)
