"""Reads what a report is made of, beside a guard that runs or without one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from guard.analysis.report import Inputs, Report, report_of
from guard.store.past import read_past
from guard.store.trail import read_anchor, read_rows, read_standing

if TYPE_CHECKING:
    from guard.runtime.state import StateFolder

__all__ = ["make_report"]

_OF_VERDICT: Final = ("type", "at_us", "rule", "level", "previous")


def make_report(state: StateFolder, *, since_us: int, until_us: int, fee: float) -> Report:
    """Return the report of a guard's state folder over a time; `fee` is a fraction of the stake, for one order.

    Raises Unavailable where there is no ledger or a file cannot be read now.
    """
    rows = read_rows(state.ledger, since_us=since_us, slim=lambda row: _slim(row) if row["at_us"] <= until_us else None)
    aftermaths, hours = read_past(state.past, since_us=since_us)
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for hour in hours:
        if hour.hour_us < until_us:
            sums[hour.what, hour.name] += hour.amount
    inputs = Inputs(
        since_us=since_us,
        until_us=until_us,
        transitions=[row for row in rows if row["type"] == "quarantine"],
        verdicts=[row for row in rows if row["type"] == "verdict"],
        standing=[held for held in read_standing(state.ledger) if held["opened_us"] <= until_us],
        aftermaths=[one for one in aftermaths if one.opened_us <= until_us],
        sums=sums,
    )
    return report_of(inputs, fee=fee)._replace(anchor=read_anchor(state.ledger))


def _slim(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a report needs of a row.

    A flat one is nothing to the garbage collector, whose looks at many others would hold a running guard.
    """
    if row["type"] == "verdict":
        return {name: row[name] for name in _OF_VERDICT}
    return row if row["type"] == "quarantine" else None
