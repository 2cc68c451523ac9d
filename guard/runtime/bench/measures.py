"""All measures of the bench, each found only when it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from guard.errors import GuardError
from guard.runtime.bench.rows import Bar, Row, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.runtime.bench.plan import Plan

__all__ = ["MEASURES", "run_bench"]

MEASURES = {
    "a": ("state", "state per event against the same loop in C"),
    "b": ("full", "full pipeline: events a second, and against nautilus_trader and river"),
    "c": ("tapes", "guard replay over CSV tapes"),
    "d": ("live_cost", "engine cost of a live event against one parse of ccxt"),
    "e": ("latency", "arrival to verdict at 50,000 events a second against a 50 ms timer"),
    "f": ("memory", "memory of a market"),
    "g": ("growth", "events a second from 100 to 10,000 markets"),
    "h": ("start", "engine ready in a fresh process against import ccxt.pro"),
    "i": ("process", "a whole guard over three exchanges of 80 markets"),
    "j": ("reload", "pause of a reload without a new window"),
    "k": ("keeping", "pause of a checkpoint"),
    "l": ("sweeping", "a sweep of 20 values over all cores against 20 replays on one"),
    "m": ("expression", "one expression against cel and simpleeval"),
    "n": ("checking", "a check of 300 rules against reading them alone"),
    "o": ("streams", "delivery and cost of live trades beside stock ccxt"),
    "p": ("stream_books", "delivery and cost of live books beside stock ccxt"),
    "q": ("stream_faults", "a bad frame until the next good one"),
    "r": ("stream_memory", "growth of memory while trades flow"),
    "s": ("asking", "a bot's question beside a guard that publishes"),
    "t": ("torn", "reads while another process publishes at full speed"),
}


def run_bench(plan: Plan, only: Sequence[str] = ()) -> Iterator[Row]:
    """Run the measures, or those that are named, and yield their rows as they come.

    A measure that cannot run gives one row that says why.
    """
    for key in only or MEASURES:
        module, title = MEASURES[key]
        try:
            yield from import_module(f"guard.runtime.bench.{module}").measure(plan)
        except (GuardError, ImportError, OSError) as error:
            yield skipped(Row(key, title, "", "", Bar(0.0, is_ceiling=True)), f"cannot run: {error}")
