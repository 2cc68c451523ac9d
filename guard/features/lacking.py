"""Why a leaf is unknown on a market: what is missing, and how long it will take where that can be told."""

from __future__ import annotations

from functools import partial
from math import ceil, floor
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.features.fields import FIELDS_BY_NAME
from guard.features.kernel import slots as s
from guard.features.kernel.baseline_kinds import baseline_key
from guard.features.kernel.baselines import SEEN, TOTAL, WEIGHT
from guard.features.kernel.layout import average_us, layout_of
from guard.features.kernel.trades import EWMA_US
from guard.features.kernel.windows import FULL_US, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from guard.features.kernel import Kernel
    from guard.features.kernel.layout import Baseline, Layout
    from guard.features.tables import Field, Leaf

__all__ = ["Lack", "lacking", "lacks", "lasting"]

_LONG_SHARE: Final = 0.9
# Of fewer bins nobody can say how many hold trades.
_COUNTED_MIN: Final = 10.0
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


class Lack(NamedTuple):
    """Why a leaf is unknown, and after how many microseconds it is known: None where nobody can tell when.

    `is_absent`: never on this market. `tell` finds the words, which few ask for.
    """

    tell: Callable[[], str]
    us: float | None
    is_absent: bool = False

    @property
    def why(self) -> str:
        """It in words."""
        return self.tell()


def lacks(kernel: Kernel, row: int, now_us: int, numbers: Iterable[int]) -> dict[int, Lack]:
    """Return what some leaves of a kernel, which are unknown on a market now, lack there."""
    streams = kernel.facts(row).streams
    found: dict[int, Lack] = {}
    market = _market(kernel, row, now_us)
    for number in numbers:
        leaf = kernel.leaves[number]
        field = FIELDS_BY_NAME[leaf.field]
        if field.stream != "market" and field.stream not in streams:
            found[number] = Lack(partial(_NO_STREAM.__getitem__, field.stream), None, is_absent=True)
        else:
            found[number] = Lack(partial(market.why, number, leaf, field), market.waits_us(number, leaf, field))
    return found


def lacking(kernel: Kernel, row: int, now_us: int, number: int) -> str:
    """Return in words why leaf `number` of a kernel is unknown on the market in `row` at `now_us`, local time."""
    leaf = kernel.leaves[number]
    field = FIELDS_BY_NAME[leaf.field]
    if field.stream != "market" and field.stream not in kernel.facts(row).streams:
        return _NO_STREAM[field.stream]
    return _market(kernel, row, now_us).why(number, leaf, field)


def _market(kernel: Kernel, row: int, now_us: int) -> _Market:
    x, i = kernel._rows.row(row)  # noqa: SLF001 - it only reads, and the kernel's own file is part of compiled code's key
    # A market's own time stands still while nothing arrives.
    now = max(i[s.AT], i[s.EVENT_AT] + max(0, now_us - i[s.RECEIVED])) if i[s.EVENT_AT] else i[s.AT]
    return _Market(layout_of(kernel.leaves), x, i, now)


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

    def waits_us(self, number: int, leaf: Leaf, field: Field) -> float | None:
        """Return how long it takes until the leaf is known, where time alone makes it so."""
        if self._stream(field.stream) or leaf.field in _NOT_KNOWN or leaf.field.startswith("prints_"):
            return None
        record = self._plan[s.P_LEAVES] + number * s.LEAF_STRIDE
        waits: list[float] = []
        if self._plan[record + s.L_WINDOW] and self._plan[record + s.L_SINCE]:
            waits.append(self._window_us(record))
        if leaf.field == "ewma_price":
            over_us = average_us(leaf)
            waits.append(max(0.0, over_us - self._average_has(over_us, self._layout.average(leaf))))
        item = self._item(leaf)
        for us in () if item is None else self._fills_us(item, leaf):
            if us is None:
                return None
            waits.append(us)
        longest = max(waits, default=0.0)
        # What time should have brought by now waits for something else.
        return longest if longest > 0.0 else None

    def _window_us(self, record: int) -> float:
        plan, i, window = self._plan, self._i, record + s.L_WINDOW
        since, began = plan[record + s.L_SINCE], plan[record + s.L_BEGAN]
        us, now, kept = plan[window], self._now, i[plan[window + s.W_SINCE]]
        if i[since] == s.NEVER or kept == s.NEVER:
            return float(us)
        if us <= FULL_US:
            return max(0.0, us - min(now - i[since], now - kept))
        covered = min(1.0, share(self._x, i, plan, window, since, began, plan[record + s.L_DOWN]) + (now - i[s.AT]) / us)
        return max(0.0, (_LONG_SHARE - covered) * us)

    def _average_has(self, us: int, number: int) -> float:
        i = self._i
        began = i[s.EWMA_BEGAN] if us == EWMA_US or number < 0 else i[self._layout.averages[number].began]
        return 0.0 if s.NEVER in (i[s.EWMA_BEGAN], began) else float(self._now - began)

    def _fills_us(self, item: Baseline, leaf: Leaf) -> Iterator[float | None]:
        """Yield how long it takes until a baseline has counted enough, and until enough of that held trades."""
        counted, traded = self._seen(item)
        bins, with_trades = _bins(item, leaf)[0], _traded(leaf)[0]
        if counted < bins:
            # Seconds of a book count when it moves.
            yield None if item.source < 0 and counted <= 0.0 else (bins - counted) * item.bin_us
        if traded < with_trades:
            yield (with_trades - traded) * counted / traded * item.bin_us if traded > 0.0 and counted >= _COUNTED_MIN else None

    def _item(self, leaf: Leaf) -> Baseline | None:
        key = baseline_key(leaf)
        return next((each for each in self._layout.baselines if (each.kind, each.key) == key), None)

    def _seen(self, item: Baseline) -> tuple[float, float]:
        x, at = self._x, item.offset
        return x[at + TOTAL] / x[at + WEIGHT], x[at + SEEN] / x[at + WEIGHT]

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
        item = self._item(leaf)
        if item is None:
            return ""
        counted, traded = self._seen(item)
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
