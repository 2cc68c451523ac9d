"""The board as a person sees it in a terminal, or in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.text import Text

from guard.cli.bot_lines import bot_lines, lock_lines
from guard.cli.market_rows import MarketRows
from guard.cli.ready_lines import ready_lines, rest_line
from guard.cli.self_watch import heartbeat_trouble, list_troubles
from guard.cli.wording import age_text, market_wide
from guard.client.clock import MACHINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

__all__ = ["board_view"]

_HELD_SHOWN_MAX = 8


def board_view(status: Mapping[str, Any], *, width: int, rows_max: int = 40) -> RenderableType:
    """Render the document of ``guard --json status``: a line of figures, a row a market, what is held, the nearest misses.

    Below 132 columns of `width` the factors and the rule are left out, below 100 the age.
    """
    parts: list[RenderableType] = [_headline(status), "", MarketRows(status["markets"][:rows_max], width=width), ""]
    hidden = len(status["markets"]) - rows_max
    if hidden > 0:
        parts.append(Text(f"  and {hidden} calmer markets", style="dim"))
    # A terminal cuts what is too much at its lower end: that must be what can wait.
    parts += [Text.from_markup(line) for line in sorted(_notes(status), key=_urgency)]
    return Group(*parts)


def _headline(status: Mapping[str, Any]) -> Text:
    age = status["feed_age_ms"]
    figures = [
        f"mode {status['mode']}",
        f"{status['watched']} watched, {status['ready']} ready",
        *([f"{len(status['quarantines'])} held"] if status["quarantines"] else []),
        f"{status['events_per_second']:.0f} events/s",
        f"feed age {'-' if age is None else age_text(age)}",
        f"{status['rules']['active']} rules" + ("" if status["rules"]["problem"] is None else " (last good ones)"),
        "ledger ok" if status["durable"] else "LEDGER CANNOT BE WRITTEN",
        f"up {age_text(status['uptime_s'] * 1000)}",
    ]
    text = Text("guard  ", style="bold")
    text.append("  ·  ".join(figures), style="none")
    if status["bypass"]:
        text.append(f"  BYPASSED until {status['bypass']['until']}: every order is permitted", style="bold white on red")
    return text


def _urgency(line: str) -> int:
    """Return 0 for what is wrong or held, 1 for what is to know, 2 for all else."""
    return 0 if "[bold red]" in line else 1 if "[yellow]" in line else 2


def _detector(record: Mapping[str, Any]) -> str:
    cost = "not called yet" if record["mean_us"] is None else f"{record['calls']} calls, {record['mean_us']:.1f} us each"
    faults = f", {record['faults']} failed: {escape(str(record['fault']))}" if record["faults"] else ""
    name = escape(f"detector {record['detector']}")
    if record["state"] == "demoted":
        return f"[bold red]{name} is switched off:[/] {escape(str(record['why']))}  [dim]{cost}[/]"
    return f"[{'yellow' if record['faults'] else 'dim'}]{name}: {cost}{faults}[/]"


def _upgrade(upgrade: Mapping[str, Any]) -> list[str]:
    """Return one line for what an upgrade changed in the shipped rules and nobody has accepted."""
    lines = [f"[bold red]upgrade:[/] {escape(upgrade['problem'])}"] if upgrade.get("problem") else []
    if upgrade.get("pending"):
        first, more = upgrade["changes"][0], upgrade["pending"] - 1
        rest = f" and {more} more" if more else ""
        lines.append(f"[yellow]an upgrade changed shipped rules:[/] {escape(first['text'])}{rest}  [dim]guard rules diff[/]")
    return lines


def _group(group: Mapping[str, Any]) -> str:
    """Return one line for markets that have their level together: the board shows it on each of them."""
    colour = "dim" if group["mode"] == "shadow" else "yellow" if group["level"] == "warning" else "bold red"
    name = escape(f"{group['per']}:{group['group']}")
    return (
        f"[{colour}]{name} {group['level']}[/] by {escape(group['rule'])} ({group['mode']}): {group['held']} of {group['of']} "
        f"markets hold it, quorum {group['needed']}"
    )


def _recording(recording: Mapping[str, Any]) -> list[str]:
    if recording.get("problem"):
        return [f"[bold red]nothing is recorded:[/] {escape(recording['problem'])}"]
    if recording.get("lost"):
        return [f"[yellow]recording:[/] {recording['lost']:,} rows are missing, in {recording['holes']} marked gaps"]
    return []


def _notes(status: Mapping[str, Any]) -> list[str]:
    parts = (("rules", "[bold red]rules:[/]"), ("engine", "[yellow]compiled code failed, the engine runs plain:[/]"))
    lines = [f"{title} {escape(status[part]['problem'])}" for part, title in parts if status[part]["problem"]]
    trouble = heartbeat_trouble(status)
    lines += [f"[bold red]heartbeat:[/] {escape(trouble)}"] if trouble else []
    for name, is_well, found in list_troubles(status):
        lines.append(f"[{'dim' if is_well else 'bold red'}]{escape(name)}:[/] {escape(found)}")
    lines += _upgrade(status.get("upgrade") or {})
    lines += [_group(group) for group in status.get("groups", ())]
    now_us = MACHINE.wall_us()
    lines += [f"[bold red]{escape(market_wide(each, now_us=now_us))}[/]" for each in status.get("market_wide", ())]
    if any(row.get("mode") == "shadow" and row["level"] != "normal" for row in status["markets"]):
        lines.append("[dim](a level in brackets) is that of a rule in the shadow: nobody is told, nothing is held[/]")
    for feed in status["feeds"]:
        if feed["problem"]:
            lines.append(f"[bold red]{escape(feed['exchange'])}:[/] {escape(feed['problem'])}")
        lines += [f"[dim]{escape(feed['exchange'])}: {escape(note)}[/]" for note in feed["notes"] if note != feed["problem"]]
        lines += [line for line in (rest_line(feed),) if line]
    lines += ready_lines(status)
    lines += [_detector(detector) for detector in status["detectors"]]
    inlet = status["inlet"]
    if inlet["book_rows_dropped"] or inlet["trades_dropped"]:
        lines.append(
            f"[bold red]too many events:[/] {inlet['trades_dropped']} trades and {inlet['book_rows_dropped']} book changes "
            f"dropped, {inlet['books_unknown']} books unknown now"
        )
    lines += bot_lines(status.get("bots") or {})
    lines += lock_lines(status.get("locks") or ())
    for window in status.get("maintenance", ()):
        when = "until" if window["state"] == "running" else f"from {window['from'][:16]}Z until"
        lines.append(
            f"[yellow]maintenance[/] {escape(window['target'])} {when} {window['until'][:16]}Z  {escape(window['reason'])}  "
            f'[dim]guard maintenance rm {window["id"]} --reason "..."[/]'
        )
    lines += _recording(status.get("recording") or {})
    lines += _held(status["quarantines"])
    if not status["quarantines"]:
        lines += [
            f"[dim]nearest to firing:[/] {escape(near['market'])} {near['rule']} {near['score']:.2f}  "
            f"[dim]missing:[/] {escape(near['missing'])}"
            for near in status["nearest"]
        ]
    lines += _deliveries(status)
    lines.append(f"[dim]engine: {status['engine']['form']}[/]")
    return lines


def _held(quarantines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each target that is held, the first few in full."""
    lines = [
        f"[bold red]{held['state']}[/] {escape(held['target'])} until {held['until'][:19]}Z  {escape(held['reason'])}  "
        f'[dim]guard quarantine release {held["id"]} --reason "..."[/]'
        for held in quarantines[:_HELD_SHOWN_MAX]
    ]
    more = len(quarantines) - _HELD_SHOWN_MAX
    return [*lines, *([f"[bold red]and {more} more held[/]  [dim]guard quarantine ls[/]"] if more > 0 else [])]


def _deliveries(status: Mapping[str, Any]) -> list[str]:
    """Return what is to know of messages and actions."""
    lines = []
    pending = sum(counts.get("pending", 0) for counts in status["outbox"].values())
    dead = sum(counts.get("dead", 0) for counts in status["outbox"].values())
    if pending or dead:
        lines.append(f"[yellow]outbox:[/] {pending} waiting, {dead} undeliverable  [dim]guard alerts outbox[/]")
    for name, health in status["channels"].items():
        if health["failing"]:
            what = name if ":" in name else f"alert channel {name}"
            lines.append(f"[bold red]{escape(what)} does not deliver:[/] {escape(str(health['error']))}")
    for lane, counts in status.get("actions", {}).items():
        if counts.get("refused"):
            lines.append(f"[bold red]{escape(lane)}:[/] {counts['refused']} orders refused, too many in an hour")
    return lines
