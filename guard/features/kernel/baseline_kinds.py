"""Which baselines leaves read, and what each kind observes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.features.kernel import slots as s

if TYPE_CHECKING:
    from guard.features.tables import Leaf

__all__ = ["DEPTHS", "USUAL_SPREAD", "Baseline", "baseline_at", "baseline_key", "bucket_edges", "depth_kind"]

_QUANTILE_DECAY_US: Final = 2 * 86_400_000_000
USUAL_SPREAD: Final = ("spread", 86_400_000_000)


class Baseline(NamedTuple):
    """A decayed histogram of what a market usually shows.

    `source` is the float slot whose growth per bin of `bin_us` is observed, or `slots.SPREAD` or `slots.DEPTH`, sampled each
    second. `decay_us` is the time after which an observation weighs 1/e; `per_octave` the number of buckets per doubling; `asks`
    what leaves may read beside median and high quantile.
    """

    kind: str
    key: int
    source: int
    bin_us: int
    decay_us: int
    per_octave: int
    offset: int
    slot: int
    since: int
    asks: int


def baseline_key(leaf: Leaf) -> tuple[str, int] | None:
    """Return which baseline a leaf reads: its kind and duration."""
    name, arguments = leaf
    if name in DEPTHS:
        return depth_kind(leaf), int(arguments[2])
    if name in _KINDS:
        return _KINDS[name], int(arguments[0])
    if name in {"high_rush", "high_removed"}:
        return f"{name}_{arguments[1]}", int(arguments[0])
    if name.startswith("minute_"):
        return "minute", int(arguments[0])
    if name.startswith("spread_"):
        return "spread", int(arguments[0])
    return None


def depth_kind(leaf: Leaf) -> str:
    """Return the kind of the baseline that a leaf of usual depth reads: side and band are part of it."""
    return f"depth_{leaf.arguments[1]}_{float(leaf.arguments[0])!r}"


_KINDS: Final = {
    "high_buys": "high_buys", "high_churn": "high_churn", "low_trades": "trades", "median_trades": "trades", "hour_shift": "minute",
}  # fmt: skip
DEPTHS: Final = {"depth_median", "depth_low"}
_SOURCES: Final = {
    "high_churn": s.CHURN,
    "trades": s.TRADES,
    "high_buys": s.BUY_TURNOVER,
    "high_rush_buy": s.RUSH_BUY_LEVELS,
    "high_rush_sell": s.RUSH_SELL_LEVELS,
    "high_removed_bid": s.REMOVED_BID,
    "high_removed_ask": s.REMOVED_ASK,
    "minute": s.TURNOVER,
    "spread": s.SPREAD,
}
_ASKS: Final = {"minute": s.MOMENTS, "spread": s.MOMENTS, "trades": s.LOWS}


def baseline_at(kind: str, us: int, offset: int, slot: int) -> Baseline:
    """Return the baseline of a kind and duration that stands at `offset` of the float row and `slot` of the integer row."""
    is_depth = kind.startswith("depth")
    is_sampled = is_depth or kind == "spread"
    bin_us = s.SECOND_US if is_sampled else s.MINUTE_US if kind == "minute" else us
    decay_us = us if is_sampled or kind == "minute" else max(_QUANTILE_DECAY_US, 1024 * bin_us)
    since = s.BOOK_SINCE if is_sampled or kind.startswith(("high_removed", "high_churn")) else s.TRADES_SINCE
    source, asks = (s.DEPTH, s.LOWS) if is_depth else (_SOURCES[kind], _ASKS.get(kind, 0))
    return Baseline(kind, us, source, bin_us, decay_us, 8 if is_sampled else 4, offset, slot, since, asks)


@cache
def bucket_edges(per_octave: int) -> tuple[float, ...]:
    """Return the powers of two from which a baseline's buckets are made, in steps of half a bucket; see `slots.BUCKET_BASE`."""
    return tuple(2.0 ** ((step - s.BUCKET_BASE) / (2 * per_octave)) for step in range(s.BUCKET_COUNT))
