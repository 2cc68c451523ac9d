"""What the board says of bots: those that are missed, and those that hold what is blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bot_lines"]

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
