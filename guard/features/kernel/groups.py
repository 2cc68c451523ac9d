"""The groups of columns: what is kept together at a window's edges, and which group each field is read from."""

from __future__ import annotations

from typing import Final, NamedTuple

from guard.features.kernel import slots as s

__all__ = ["GROUPS", "GROUP_OF", "Group"]


class Group(NamedTuple):
    """Columns `first` to before `end`; those from `sums` on are totals, the ones before it last values.

    The last two, from `down` on, are its copies of the time in which trades and the book were lost.
    """

    name: str
    first: int
    sums: int
    down: int

    @property
    def end(self) -> int:
        """The column after the last one."""
        return self.down + 2

    @property
    def columns(self) -> int:
        """How many columns the group has."""
        return self.end - self.first


GROUPS: Final = {
    group.name: group
    for group in (
        Group("range", s.HIGH, s.SQUARES, s.RANGE_DOWN),
        Group("quotes", s.MID, s.QUOTES_DOWN, s.QUOTES_DOWN),
        Group("trades", s.PRICE, s.VOLUME, s.TRADES_DOWN),
        Group("sweeps", s.RUSH_BUY_LEVELS, s.RUSH_BUY_LEVELS, s.SWEEPS_DOWN),
        Group("book", s.INSIDE_VOLUME, s.INSIDE_VOLUME, s.BOOK_DOWN),
        Group("flow", s.MESSAGES, s.MESSAGES, s.FLOW_DOWN),
        Group("bars", s.PATH, s.PATH, s.BARS_DOWN),
        Group("data", s.GAPS, s.GAPS, s.DATA_DOWN),
        Group("events", s.EVENTS, s.EVENTS, s.EVENTS_DOWN),
    )
}
"""In the order of their columns; together they are all columns."""

GROUP_OF: Final = {
    **dict.fromkeys(("high", "low", "squares"), "range"),
    "open_mid": "quotes",
    **dict.fromkeys(
        (
            "volume", "buy_volume", "turnover", "buy_turnover", "buy_share", "trades", "unsure_volume", "open_price",
            "reference_ret",
        ),
        "trades",
    ),
    **dict.fromkeys(("rush", "rush_orders", "rush_seconds", "swept"), "sweeps"),
    **dict.fromkeys(("inside_volume", "level_churn", "removed_unfilled", "crossings"), "book"),
    **dict.fromkeys(("book_messages", "flow_imbalance", "added"), "flow"),
    **dict.fromkeys(("path", "mirrored", "flow_return", "flow_squares", "bar_impact", "bars", "bar_ranges"), "bars"),
    **dict.fromkeys(("gaps", "coverage"), "data"),
    **dict.fromkeys(("events", "late"), "events"),
}  # fmt: skip
"""The fields that are read over a window, and the group that a window needs for each."""
