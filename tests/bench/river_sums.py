"""river: 25 rolling sums (5 windows of 5 values), mean and variance by age, two quantiles, for every trade.

Each market has its own objects, as with guard; they are updated and not read. The first 5 seconds fill the shortest window
before the timing starts, so that it lets old trades go, as all do in a run of an hour; the longer ones still only grow, which is in
river's favour: with 12 seconds filled, a trade costs three times as much.
"""

from __future__ import annotations

import datetime as dt
import sys
from functools import partial

from peer import answer, say, timed

TRADES = 1_000
FILL_S = 5.2
WINDOWS_S = (5, 10, 60, 300, 1800)
VALUES = 5


class Sums:
    """What river keeps of one market."""

    def __init__(self, stats: object, rolling: object) -> None:
        self.sums = [[rolling(stats.Sum, period=dt.timedelta(seconds=s)) for s in WINDOWS_S] for _ in range(VALUES)]
        self.mean = stats.EWMean()
        self.variance = stats.EWVar()
        self.quantiles = (stats.Quantile(0.5), stats.Quantile(0.95))
        self.price = 0.0

    def update(self, at: dt.datetime, price: float, amount: float, side: int) -> None:
        """Take a trade in."""
        step = price / self.price - 1.0 if self.price else 0.0
        self.price = price
        value = price * amount
        taken = (amount if side > 0 else 0.0, amount if side < 0 else 0.0, 1.0, value, step * step)
        for x, windows in zip(taken, self.sums, strict=True):
            for window in windows:
                window.update(x, t=at)
        self.mean.update(value)
        self.variance.update(value)
        for quantile in self.quantiles:
            quantile.update(value)


def main(path: str) -> None:
    """Answer until stdin ends."""
    try:
        import numpy as np
        import river
        from river import stats, utils
    except ImportError as error:
        say(missing=str(error))
        return
    rows = np.load(path)
    at_us = rows["at_us"]
    filled = min(int(np.searchsorted(at_us, at_us[0] + int(FILL_S * 1e6))), len(at_us) - TRADES)
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - river subtracts plain times
    stamps = [epoch + dt.timedelta(microseconds=at) for at in at_us.tolist()]
    columns = [rows[name].tolist() for name in ("market", "price", "amount", "side")]
    trades = list(zip(stamps, *columns, strict=True))
    markets = {market: Sums(stats, utils.TimeRolling) for market in set(columns[0])}

    def feed(some: list[tuple[dt.datetime, int, float, float, int]]) -> None:
        for at, market, price, amount, side in some:
            markets[market].update(at, price, amount, side)

    feed(trades[:filled])
    places = iter(range(filled, len(trades) - TRADES + 1, TRADES))

    def once() -> tuple[float, int]:
        start = next(places)
        return timed(partial(feed, trades[start : start + TRADES])), TRADES

    answer(f"river {river.__version__}", once)


if __name__ == "__main__":
    main(sys.argv[1])
