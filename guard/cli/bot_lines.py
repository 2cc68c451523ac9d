"""What the board says of bots: those that are missed, and those that hold what is blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["bot_lines", "lock_lines"]

_SHOWN_MAX = 8
_COUNTS = {"blocked": "refused", "would_block": "would be refused", "bypassed": "bypassed", "cut": "cut"}


def bot_lines(bots: Mapping[str, Any]) -> list[str]:
    """Return lines of markup for the section ``bots`` of the status document."""
    lines = [f"[bold red]bot {escape(name)}:[/] silent" for name in bots.get("silent", ())[:_SHOWN_MAX]]
    present = [bot for bot in bots.get("bots", ()) if not bot["silent"] and not bot["parted"]]
    lines += [_line(bot) for bot in present[:_SHOWN_MAX]]
    if len(present) > _SHOWN_MAX:
        lines.append(f"[dim]{len(present) - _SHOWN_MAX} more bots: guard --json status[/]")
    return lines


def lock_lines(pushers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return lines of markup for the section ``locks`` of the status document.

    Examples
    --------
    >>> lock_lines([{"bot": "mine", "locks": 2, "problem": None}, {"bot": "other", "locks": 0, "problem": "refused"}])
    ['[dim]bot mine: 2 locks pushed[/]', '[bold red]bot other gets no locks:[/] refused']
    """
    return [
        f"[dim]bot {escape(each['bot'])}: {each['locks']} locks pushed[/]"
        if each["problem"] is None
        else f"[bold red]bot {escape(each['bot'])} gets no locks:[/] {escape(each['problem'])}"
        for each in pushers
    ]


def _line(bot: Mapping[str, Any]) -> str:
    totals = bot["totals"]
    said = [
        f"{totals['seen']} entries, {totals['exits']} exits",
        *(f"{totals[key]} {word}" for key, word in _COUNTS.items() if totals[key]),
    ]
    holds = f"  [yellow]holds blocked {escape(', '.join(bot['holds_blocked'][:_SHOWN_MAX]))}[/]" if bot["holds_blocked"] else ""
    grew = bot["grew_while_blocked"]
    more = f"  [bold red]added to blocked {escape(', '.join(list(grew)[:_SHOWN_MAX]))}[/]" if grew else ""
    return f"[dim]bot {escape(bot['name'])}: {', '.join(said)}, heard {bot['seen_s']:g} s ago[/]{holds}{more}"
