"""How ready rules are, for a terminal: a line for what is not ready, or a table of every market and rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from guard.features.lacking import lasting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ready_lines", "ready_table", "rest_line"]

_STYLES = {"ready": "green", "warming": "cyan", "waiting": "yellow", "never": "dim"}


def ready_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line of markup for each rule that is not ready everywhere: what is warming, what waits, what never comes."""
    rules: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for row in status["markets"]:
        for told in row.get("rules", ()):
            rules.setdefault(told["rule"], []).append((row["market"], told))
    for rule, all_of_it in rules.items():
        here = [(market, told) for market, told in all_of_it if told["ready"] != "never"]
        ready = sum(told["ready"] == "ready" for _, told in here)
        if ready < len(here):
            yield f"[cyan]warming:[/] {escape(rule)}: {ready} of {len(here)} markets ready{escape(_last(here))}"
        nevers = Counter(told["why"] for _, told in all_of_it if told["ready"] == "never")
        for why, count in nevers.items():
            where = f"{count} of {len(all_of_it)} markets" if count < len(all_of_it) else "all markets"
            yield f"[dim]never: {escape(rule)} on {where}: {escape(str(why))}[/]"


def _last(here: list[tuple[str, Mapping[str, Any]]]) -> str:
    warming = [(told["ready_in_s"], market) for market, told in here if told["ready_in_s"] is not None]
    waiting = [(market, told["why"]) for market, told in here if told["ready"] == "waiting"]
    parts = []
    if warming:
        seconds, market = max(warming)
        parts.append(f"the last in {lasting(seconds * 1e6, is_up=True)} ({market})")
    if waiting:
        market, why = waiting[0]
        parts.append(f"{len(waiting)} wait ({market}: {why})")
    return f", {', '.join(parts)}" if parts else ""


def ready_table(status: Mapping[str, Any]) -> Table:
    """Render every market with every rule that looks at it."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("market", "rule"):
        table.add_column(name, no_wrap=True)
    table.add_column("ready", overflow="fold")
    for row in status["markets"]:
        for number, told in enumerate(row.get("rules", ())):
            table.add_row(
                "" if number else escape(row["market"]), escape(told["rule"]), Text(told["text"], style=_STYLES[told["ready"]])
            )
    return table


def rest_line(feed: Mapping[str, Any]) -> str | None:
    """Return a line of markup on an exchange's REST budget; None where it tells of none."""
    rest = feed.get("rest")
    if not rest:
        return None
    name = escape(feed["exchange"])
    address = "" if rest["address_used"] is None else f", this address {rest['address_used']:g} of {rest['address_limit']:g}"
    used = f"REST {rest['used']:g} of {rest['share']:g} a minute used (the exchange allows {rest['limit']:g}){address}"
    if rest["paused_s"] > 0:
        return (
            f"[yellow]{name}: REST pauses for {lasting(rest['paused_s'] * 1e6, is_up=True)}:[/] {escape(rest['why'] or '')}; {used}"
        )
    waiting = sum(rest["waiting"].values())
    return f"[dim]{name}: {used}{f', {waiting} requests wait' if waiting else ''}[/]"
