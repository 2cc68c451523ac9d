"""How much of the past rules need, and whether a market knows it already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel.baseline_kinds import baseline_key
from guard.features.kernel.baselines import TOTAL, WEIGHT
from guard.features.kernel.layout import average_us, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.features.kernel import Kernel
    from guard.features.kernel.layout import Baseline
    from guard.features.tables import Leaf

__all__ = ["knows_past", "needed_us"]

_DAY_US: Final = 86_400_000_000
_MOST_US: Final = 7 * _DAY_US
_MARGIN: Final = 1.05
# What a high quantile needs: to be known at all, and to rest on more than its own bins.
_BINS_MIN: Final = 80
_BINS_GOOD: Final = 8_000
_MINUTES_MIN: Final = 60.0
# The past tells of trades; what books usually look like nobody keeps.
_OF_TRADES: Final = ("minute", "trades", "high_buys", "high_rush")


def needed_us(leaves: Iterable[Leaf]) -> int:
    """Return how far back trades must be known for every baseline of trades that leaves read, microseconds, at most a week.

    A high quantile wants 80 bins, and 8000 where a day has as many.

    Examples
    --------
    >>> from guard.features.tables import Leaf
    >>> hour = 3_600_000_000
    >>> needed_us([Leaf("minute_median", (6 * hour,))]) / hour, needed_us([Leaf("high_buys", (1_800_000_000,))]) / hour
    (6.3, 42.0)
    """
    return min(int(max((_leaf_us(leaf) for leaf in leaves), default=0.0) * _MARGIN), _MOST_US)


def _leaf_us(leaf: Leaf) -> float:
    if leaf.field == "ewma_price":
        return float(average_us(leaf))
    key = baseline_key(leaf)
    if key is None or not key[0].startswith(_OF_TRADES):
        return 0.0
    kind, us = key
    if kind == "minute":
        return float(us)
    return float(max(_BINS_MIN * us, min(_BINS_GOOD * us, _DAY_US)))


def knows_past(kernel: Kernel, row: int) -> bool:
    """Whether a market's baselines of trades have seen enough, from an earlier run for example, so that no past is needed.

    A past that is fed twice would count twice.
    """
    layout = layout_of(kernel.leaves)
    items = [item for item in layout.baselines if item.kind.startswith(_OF_TRADES)]
    x, _ = kernel._rows.row(row)  # noqa: SLF001 - it only reads, as `lacking` does
    return bool(items) and all(x[item.offset + TOTAL] / x[item.offset + WEIGHT] >= _enough(item) for item in items)


def _enough(item: Baseline) -> float:
    return _MINUTES_MIN if item.kind == "minute" else float(_BINS_MIN)
