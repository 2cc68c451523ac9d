"""What ``guard run`` shows: a live board on a terminal, boards and lines in a log, or JSON lines."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from guard.cli.board import board_view
from guard.cli.wording import counts_text, judged
from guard.runtime.lines import alert_line, lines_of
from guard.runtime.summary import RunRecord

if TYPE_CHECKING:
    from guard.cli.output import Output
    from guard.model import Decision
    from guard.runtime.printer import Printer
    from guard.runtime.wire import RunningGuard

__all__ = ["JsonConsole", "LogConsole", "TerminalConsole", "make_console", "pause_s"]

_log = structlog.get_logger(__name__)
_REFRESH_S = 1.0
_BOARD_EVERY_S = 20
_BOARDS_FIRST = 6
_BOARD_LATER_S = 600
_LOG_WIDTH = 140
_STATES = {"quarantined": "bold red", "probation": "yellow", "normal": "green"}


class JsonConsole:
    """One JSON line for each verdict, transition and alert, and the summary."""

    def __init__(self, output: Output, printer: Printer) -> None:
        self.record = RunRecord()
        self._output = output
        self._printer = printer

    def decision(self, decision: Decision) -> None:
        """Print what was decided."""
        self.record.take(decision)
        for record in (*lines_of(decision), *map(alert_line, decision.deliveries)):
            self._printer.put(partial(self._output.line, record))

    async def follow(self, guard: RunningGuard) -> None:
        """Nothing to refresh."""

    def summary(self, summary: dict[str, Any], status: dict[str, Any] | None) -> None:
        """Print the last line."""
        del status
        self._printer.put(lambda: self._output.line(summary))


class LogConsole:
    """Events as they come, and the board: every twenty seconds at first, then every ten minutes. For a pipe, a file or a log."""

    def __init__(self, printer: Printer, console: Console) -> None:
        self.record = RunRecord()
        self._printer = printer
        self._console = console
        self._feeds: dict[str, tuple[int, str | None]] = {}

    def decision(self, decision: Decision) -> None:
        """Print what was decided."""
        self.record.take(decision)
        for record in (*lines_of(decision), *map(alert_line, decision.deliveries)):
            text = _event(record)
            if text:
                self.event(text)

    def event(self, text: str) -> None:
        """Print one event."""
        self._printer.put(lambda: self._console.print(text, soft_wrap=True, emoji=False))

    def show(self, what: Any) -> None:  # noqa: ANN401 - anything that rich renders
        """Print a board."""
        self._printer.put(lambda: self._console.print(what))

    async def follow(self, guard: RunningGuard) -> None:
        """Print the board once the first row is live, six times twenty seconds apart, then every ten minutes."""
        self.event(f"guard watches {', '.join(feed.plan.name for feed in guard.live.feeds)}; stop it with Ctrl-C")
        waited, shown = pause_s(0), 0
        while True:
            await guard.clock.sleep(_REFRESH_S)
            waited += 1
            # The whole status takes a while of the loop, which bots' checks over HTTP would wait for.
            feeds = [{"exchange": feed.plan.name, "failures": feed.failures, "problem": feed.trouble} for feed in guard.live.feeds]
            self._tell_feeds({"feeds": feeds})
            status = await _status(guard) if waited >= pause_s(shown) else None
            if status is not None and any(row["age_ms"] is not None for row in status["markets"]):
                waited, shown = 0, shown + 1
                self.show(board_view(status, width=self._console.width))

    def _tell_feeds(self, status: dict[str, Any]) -> None:
        """Print what keeps an exchange from delivering, once for each failure."""
        for feed in status["feeds"]:
            name, told = feed["exchange"], (feed["failures"], feed["problem"])
            if feed["failures"] and feed["problem"] and self._feeds.get(name) != told:
                self.event(f"[bold red]{escape(name)} does not deliver:[/] {escape(feed['problem'])}")
            self._feeds[name] = told

    def summary(self, summary: dict[str, Any], status: dict[str, Any] | None) -> None:
        """Print the last board (if there is one) and the summary."""
        if status is not None:
            self.show(board_view(status, width=self._console.width))
        for line in _summary_lines(summary):
            self.event(line)


class TerminalConsole(LogConsole):
    """A board that refreshes in place, with events scrolling above it."""

    def __init__(self, printer: Printer, console: Console) -> None:
        super().__init__(printer, console)
        self._live = Live(console=console, auto_refresh=False, transient=True)

    async def follow(self, guard: RunningGuard) -> None:
        """Refresh the board every second."""
        self._printer.put(self._live.start)
        while True:
            status = await _status(guard)
            if status is not None:
                board = board_view(status, width=self._console.width, rows_max=25)
                self._printer.put(partial(self._live.update, board, refresh=True))
            await guard.clock.sleep(_REFRESH_S)

    def summary(self, summary: dict[str, Any], status: dict[str, Any] | None) -> None:
        """Leave the last board on the screen, and the summary below it."""
        self._printer.put(self._live.stop)
        super().summary(summary, status)


def pause_s(shown: int) -> int:
    """Return seconds from a board in a log to the next one, `shown` of them being there: a log is read at the start, then kept."""
    return _BOARD_EVERY_S if shown < _BOARDS_FIRST else _BOARD_LATER_S


async def _status(guard: RunningGuard) -> dict[str, Any] | None:
    """Return the status document; None, with a line in the log, where it cannot be had: the next second asks anew."""
    try:
        return await guard.status()
    except Exception:  # noqa: BLE001 - what people watch must never stop
        _log.exception("no status for the console")
        return None


def make_console(printer: Printer) -> LogConsole:
    """Return the console that fits where stdout goes."""
    if sys.stdout.isatty():
        return TerminalConsole(printer, Console())
    return LogConsole(printer, Console(file=sys.stdout, force_terminal=False, width=_LOG_WIDTH, highlight=False))


def _event(record: dict[str, Any]) -> str:
    at = f"{record['ts'][11:23]}Z"
    match record["type"]:
        case "verdict":
            score = "" if record["score"] is None else f" {record['score']:.2f}"
            quiet = "[dim] (shadow)[/]" if record["mode"] == "shadow" else ""
            subject, quorum = judged(record)
            together = f" ({quorum}; last {escape(record['market'])})" if quorum else ""
            return f"[dim]{at}[/] {escape(subject)}: {record['rule']} is {record['level']}{score}{together}{quiet}"
        case "quarantine":
            until = f" until {record['until'][11:19]}Z" if record["state"] != "normal" else ""
            style = _STATES[record["state"]]
            return f"[dim]{at}[/] [{style}]{escape(record['target'])}: {record['state']}{until}[/] {escape(record['reason'])}"
        case "action":
            return f"[dim]{at} {escape(record['channel'])}: {escape(record['title'])}[/]"
        case _:
            return f"[dim]{at} alert to {escape(record['channel'])}: {escape(record['title'])}[/]"


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    levels = ", ".join(f"{count} {level}" for level, count in summary["verdicts"].items())
    lines = [
        "",
        f"[bold]{summary['events']:,} events of {summary['markets']} markets in {summary['seconds']:.0f} s[/]; verdicts: {levels}",
        f"quarantines: {summary['quarantines']}, {summary['blocked_minutes']:.1f} minutes blocked",
        f"messages that a channel would have got: {summary['pushes']}"
        if "pushes" in summary
        else f"alerts delivered: {summary['alerts_delivered']}, undelivered: {summary['alerts_undelivered']}",
    ]
    lines += [f"{escape(lane)}: {counts_text(counts)}" for lane, counts in summary.get("actions", {}).items()]
    if "truth" not in summary:
        return lines
    lines.append("")
    lines.append("[bold]what was staged, and when it was noticed[/]")
    for act in summary["truth"]:
        blocked = "not blocked" if act["blocked_after_s"] is None else f"blocked after {act['blocked_after_s']:.1f} s"
        lines.append(f"  {act['pattern']:<16} {escape(act['market']):<16} {_noticed(act)} {blocked}")
    lines += [f"  {act['pattern']:<16} {escape(act['market']):<16} harmless, rightly let pass" for act in summary["harmless"]]
    false = summary["false_quarantines"]
    lines.append(f"  false quarantines: {false}" + (f" ({', '.join(summary['false_targets'])})" if false else ""))
    bot = summary.get("bot")
    if bot:
        lines.append("")
        lines.append("[bold]the demo bot[/], in its own process, asked before each order")
        lines += [f"  {escape(line)}" for line in bot]
    return lines


def _noticed(act: dict[str, Any]) -> str:
    """Return when an act was found, in 22 columns."""
    if act["found_after_s"] is not None:
        return f"found after {act['found_after_s']:.1f} s".ljust(22)
    return f"[bold red]{'missed':<22}[/]" if act["ready"] else f"[yellow]{'rule still warming':<22}[/]"
