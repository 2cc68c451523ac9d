"""How the fields of the book are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import baselines, book, windows
from guard.features.kernel import slots as s
from guard.features.kernel.reading import book_known, book_total, sided, total, window_of
from guard.features.kernel.trade_readers import answer

if TYPE_CHECKING:
    from guard.features.kernel.layout import Layout
    from guard.features.kernel.reading import Maker, Read, View
    from guard.features.tables import Leaf

__all__ = ["BOOK_READERS", "spread"]

_TICKS_MIN = 5.0
_SPREADS_MIN = 2.0
_EXCHANGES_MIN = 3


def _open_mid(layout: Layout, leaf: Leaf) -> Read:
    window = window_of(layout, leaf)
    return lambda x, i, _view: x[windows.edge(i, window) + s.MID] if book_known(x, i, window) else s.NAN


def _tick(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda x, _i, _view: tick(x)


def tick(x: list[float]) -> float:
    """Return the price step: as told, else the smallest step seen, else NaN."""
    told = x[s.TICK]
    return told if told == told else x[s.TICK_SEEN]


def _book_slot(slot: int) -> Maker:
    """Read a value of the book, unknown while it is not whole or crossed."""

    def make(_layout: Layout, _leaf: Leaf) -> Read:
        return lambda x, i, _view: x[slot] if i[s.BOOK_OK] and not i[s.CROSSED] else s.NAN

    return make


def _spread(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda x, i, _view: spread(x) if i[s.BOOK_OK] else s.NAN


def spread(x: list[float]) -> float:
    """Return (ask - bid) / mid; NaN while the mid is unknown."""
    return (x[s.ASK] - x[s.BID]) / x[s.MID] if x[s.MID] > 0.0 else s.NAN


def _depth(layout: Layout, leaf: Leaf) -> Read:
    band, side = float(leaf.arguments[0]), leaf.arguments[1]
    usual = next((item.offset + baselines.MEDIAN for item in layout.baselines if item.kind == "spread"), -1)

    def read(x: list[float], i: list[int], _view: View) -> float:
        width = spread(x) if i[s.BOOK_OK] else s.NAN
        if width != width:
            return s.NAN
        if usual >= 0 and x[usual] == x[usual]:
            width = x[usual]
        reach = max(band, _SPREADS_MIN * width)
        step = tick(x)
        if step == step:
            reach = max(reach, _TICKS_MIN * step / x[s.MID])
        resting = 0.0
        if side != "ask":
            resting += book.depth(x, i, layout.book, 1, reach)
        if side != "bid":
            resting += book.depth(x, i, layout.book, -1, reach)
        return resting

    return read


def _crossed(_layout: Layout, _leaf: Leaf) -> Read:
    return lambda _x, i, _view: float(i[s.CROSSED]) if i[s.BOOK_OK] else s.NAN


def _divergence(_layout: Layout, leaf: Leaf) -> Read:
    fresh = int(leaf.arguments[0])

    def read(x: list[float], i: list[int], view: View) -> float:
        mid = x[s.MID] if i[s.BOOK_OK] and view.received_us - i[s.BOOK_RECEIVED] <= fresh else s.NAN
        if mid != mid:
            return s.NAN
        mids = sorted(view.mids(fresh))
        if len(mids) < _EXCHANGES_MIN:
            return s.NAN
        half = len(mids) // 2
        middle = mids[half] if len(mids) % 2 else 0.5 * (mids[half - 1] + mids[half])
        return mid / middle - 1.0

    return read


BOOK_READERS: dict[str, Maker] = {
    "mid": _book_slot(s.MID),
    "bid": _book_slot(s.BID),
    "ask": _book_slot(s.ASK),
    "open_mid": _open_mid,
    "spread": _spread,
    "depth": _depth,
    "level_churn": book_total(s.CHURN),
    "removed_unfilled": sided(book_total, s.REMOVED_BID, s.REMOVED_ASK),
    "high_removed": answer("high_removed", baselines.HIGH),
    "spread_median": answer("spread", baselines.MEDIAN),
    "spread_mean": answer("spread", baselines.MEAN),
    "spread_sd": answer("spread", baselines.SD),
    "spread_high": answer("spread", baselines.HIGH),
    "crossed": _crossed,
    "crossings": book_total(s.CROSSINGS),
    "inside_volume": total(s.INSIDE_VOLUME),
    "divergence": _divergence,
    "tick": _tick,
}
