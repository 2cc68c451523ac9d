"""Why a leaf is unknown on a market: what is missing, and how long it will take where that can be told."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Final

from guard.features.fields import FIELDS_BY_NAME
from guard.features.kernel import slots as s
from guard.features.kernel.baseline_kinds import baseline_key
from guard.features.kernel.baselines import SEEN, TOTAL, WEIGHT
from guard.features.kernel.layout import average_us, layout_of
from guard.features.kernel.trades import EWMA_US
from guard.features.kernel.windows import FULL_US, share

if TYPE_CHECKING:
    from guard.features.kernel import Kernel
    from guard.features.kernel.layout import Baseline, Layout
    from guard.features.tables import Field, Leaf

__all__ = ["lacking", "lasting"]

_LONG_SHARE: Final = 0.9
_NEXT: Final = "covered: ready with the next event"
_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_TENTH: Final = 100_000
_UNITS: Final = ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "m"), (_MINUTE, "m", _SECOND, "s"))
_NO_STREAM: Final = {
    "trades": "absent: there is no stream of trades",
    "book": "absent: there is no stream of the book",
    "peers": "absent: fewer than three exchanges with a book are compared",
}
_NOT_KNOWN: Final = {
    "volume_24h_usd": "nobody told the turnover of 24 h",
    "usd_rate": "nobody told what the quote is worth in USD",
    "market_age": "nobody told when the market was listed",
}


def lasting(us: float, *, is_up: bool = False) -> str:
    """Return a stretch of time in words, two units at most, rounded down or (`is_up`, of what is still to come) up.

    Examples
    --------
    >>> [lasting(us) for us in (400_000, 41_900_000, 190_000_000, 7_200_000_000)], lasting(59_200_000, is_up=True)
    (['0.4 s', '41 s', '3 m 10 s', '2 h'], '1 m')
    """
    whole = max(0, ceil(us) if is_up else floor(us))
    if whole < 10 * _SECOND:
        tenths = -(-whole // _TENTH) if is_up else whole // _TENTH
        return f"{tenths / 10:.1f}".removesuffix(".0") + " s"
    for unit, name, below, lower in _UNITS:
        rounded = -(-whole // below) * below if is_up else whole // below * below
        if rounded >= unit:
            count, rest = divmod(rounded, unit)
            return f"{count} {name}" + (f" {rest // below} {lower}" if rest else "")
    return f"{(-(-whole // _SECOND) if is_up else whole // _SECOND)} s"


def lacking(kernel: Kernel, row: int, now_us: int, number: int) -> str:
    """Return in words why leaf `number` of a kernel is unknown on the market in `row` at `now_us`, local time."""
    leaf = kernel.leaves[number]
    field = FIELDS_BY_NAME[leaf.field]
    if field.stream != "market" and field.stream not in kernel.facts(row).streams:
        return _NO_STREAM[field.stream]
    x, i = kernel._rows.row(row)  # noqa: SLF001 - it only reads, and the kernel's own file is part of compiled code's key
    # A market's own time stands still while nothing arrives.
    now = max(i[s.AT], i[s.EVENT_AT] + max(0, now_us - i[s.RECEIVED])) if i[s.EVENT_AT] else i[s.AT]
    return _Market(layout_of(kernel.leaves), x, i, now).why(number, leaf, field)


class _Market:
    """The two rows of a market, asked for what they lack."""

    def __init__(self, layout: Layout, x: list[float], i: list[int], now: int) -> None:
        self._layout = layout
        self._plan = layout.plan
        self._x, self._i, self._now = x, i, now

    def why(self, number: int, leaf: Leaf, field: Field) -> str:
        """Return why the leaf is unknown."""
        record = self._plan[s.P_LEAVES] + number * s.LEAF_STRIDE
        return (
            self._stream(field.stream)
            or (self._window(record) if self._plan[record + s.L_WINDOW] and self._plan[record + s.L_SINCE] else "")
            or (self._average(average_us(leaf), self._layout.average(leaf)) if leaf.field == "ewma_price" else "")
            or self._baseline(leaf)
            or (self._prints(field) if leaf.field.startswith("prints_") else "")
            or _NOT_KNOWN.get(leaf.field)
            or f"{leaf.field} needs {field.minimum}"
        )

    def _stream(self, stream: str) -> str:
        i = self._i
        if stream == "trades" and i[s.TRADES_SINCE] == s.NEVER:
            return self._lost("the stream of trades", i[s.TRADES_LOST])
        if stream == "book" and i[s.BOOK_OK] == 0:
            return self._lost("the book", i[s.BOOK_LOST])
        return "the book is crossed" if stream == "book" and i[s.CROSSED] else ""

    def _lost(self, what: str, lost_us: int) -> str:
        if lost_us < 0:
            return f"{what} has not begun yet"
        return f"{what} is lost for {lasting(self._now - lost_us)}"

    def _window(self, record: int) -> str:
        plan, i, window = self._plan, self._i, record + s.L_WINDOW
        since, began = plan[record + s.L_SINCE], plan[record + s.L_BEGAN]
        us, now, kept = plan[window], self._now, i[plan[window + s.W_SINCE]]
        if i[since] == s.NEVER or kept == s.NEVER:
            return f"{lasting(us)} of data are not there yet"
        if us <= FULL_US:
            has = min(now - i[since], now - kept)
            gap = f" since a gap {lasting(now - i[since])} ago" if began and i[began] < i[since] and has < us else ""
            if has >= us:
                return _NEXT if now > i[s.AT] and min(i[s.AT] - i[since], i[s.AT] - kept) < us else ""
            return f"only {lasting(has)} of {lasting(us)} covered{gap}: ready in {lasting(us - has, is_up=True)}"
        # The share is that of the last event; a stream that is not lost has covered what came after it.
        covered = min(1.0, share(self._x, i, plan, window, since, began, plan[record + s.L_DOWN]) + (now - i[s.AT]) / us)
        if covered >= _LONG_SHARE:
            return _NEXT if now > i[s.AT] else ""
        lasted = min(now - i[began], now - kept)
        need = _LONG_SHARE * us - covered * us
        if lasted < us:
            return f"only {lasting(covered * us)} of {lasting(us)} covered: ready in {lasting(need, is_up=True)} (90 % are enough)"
        return f"gaps: {covered:.0%} of the last {lasting(us)} covered, 90 % are needed"

    def _average(self, us: int, number: int) -> str:
        i = self._i
        began = i[s.EWMA_BEGAN] if us == EWMA_US or number < 0 else i[self._layout.averages[number].began]
        if i[s.EWMA_BEGAN] == s.NEVER or began == s.NEVER:
            return f"an average price over {lasting(us)} begins with the next trade"
        has = self._now - began
        if has >= us:
            return _NEXT if i[s.AT] - began < us else ""
        return f"{lasting(has)} of {lasting(us)} of prices: ready in {lasting(us - has, is_up=True)}"

    def _baseline(self, leaf: Leaf) -> str:
        key = baseline_key(leaf)
        item = next((each for each in self._layout.baselines if (each.kind, each.key) == key), None)
        if item is None:
            return ""
        counted = self._x[item.offset + TOTAL] / self._x[item.offset + WEIGHT]
        traded = self._x[item.offset + SEEN] / self._x[item.offset + WEIGHT]
        for has, needs, what in ((counted, *_bins(item, leaf)), (traded, *_traded(leaf))):
            if has < needs:
                return f"its baseline has seen {has:.0f} of {needs:.0f} {what}"
        return ""

    def _prints(self, field: Field) -> str:
        return f"{self._i[s.PRINTS_COUNT]} trades are kept; it needs {field.minimum}"


def _bins(item: Baseline, leaf: Leaf) -> tuple[float, str]:
    """Return how much a baseline must have seen, and of what."""
    minimum = FIELDS_BY_NAME[leaf.field].minimum
    if item.kind == "minute":
        return 0.0, ""
    what = "seconds" if item.bin_us == s.SECOND_US and item.source < 0 else f"stretches of {lasting(item.bin_us)}"
    return (80.0 if minimum.startswith("80") else 30.0), what


def _traded(leaf: Leaf) -> tuple[float, str]:
    """Return how much of it must hold trades."""
    minimum = FIELDS_BY_NAME[leaf.field].minimum
    if "minutes with trades" in minimum:
        return 30.0, "minutes with trades"
    return (30.0, "stretches with trades") if "of them with trades" in minimum else (0.0, "")
