"""What ``guard rules sweep`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.cli.wording import many, safe
from guard.model import RuleMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from guard.cli.output import Output
    from guard.dsl.trials import Parameter
    from guard.runtime.sweep import Measured, Sweep, Tried

__all__ = ["document", "in_sample", "show_table"]

_WIDTH = 150
_WIDE = 100
_BAR = 24
_HEAD, _HEAD_NARROW = 24, 12
_EIGHTHS = " ▏▎▍▌▋▊▉"


def in_sample(count: int) -> str:
    """Return what must stand beside the best of many."""
    if count == 1:
        return "in sample: 1 setting was tried on this tape"
    return (
        f"in sample: {count} settings were tried on this tape, and the best of them looks better than it is; "
        "judge it on recordings that were not used here"
    )


def document(asked: Sweep, parameters: Sequence[Parameter], measured: Sequence[Measured]) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    first = next((row.tried for row in measured if row.tried is not None), None)
    return {
        "rule": asked.rule,
        "parameters": [{"key": parameter.key.name, "in_use": parameter.key.in_use} for parameter in parameters],
        "tapes": [str(path) for path in asked.files],
        "events": None if first is None else first.events,
        "markets": None if first is None else first.markets,
        "settings_tried": len(measured),
        "in_sample": True,
        "note": in_sample(len(measured)),
        "needs": [] if first is None else list(first.unseen),
        "settings": [_row_document(asked, parameters, row) for row in measured],
    }


def _row_document(asked: Sweep, parameters: Sequence[Parameter], row: Measured) -> dict[str, Any]:
    setting = asked.settings[row.number]
    values = dict(zip((parameter.key.name for parameter in parameters), setting.texts, strict=True))
    told = {"values": values, "in_use": setting.is_in_use, "error": row.error}
    if row.tried is None:
        return told
    tried = row.tried
    told |= {
        "verdicts": tried.verdicts,
        "quarantines": tried.quarantines,
        "blocked_minutes": tried.blocked_minutes,
        "blocked_minutes_all_rules": tried.blocked_minutes_all,
        "digest": tried.digest,
    }
    if asked.truths:
        told |= {
            "known": tried.known,
            "found": tried.found_events,
            "detections": tried.detections,
            "others": tried.others,
            "median_delay_s": tried.delay_s,
        }
    return told


def show_table(output: Output, asked: Sweep, parameters: Sequence[Parameter], measured: Sequence[Measured], *, name: str) -> None:
    """Print the settings as a table, with a bar for the minutes blocked."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    wide = _BAR if console.width >= _WIDE else 0
    # rich ends the process where nobody reads any more; what prints the text tells the command instead.
    with console.capture() as captured:
        console.print(_table(asked, parameters, measured, wide), highlight=False)
    for line in (
        *_heading(asked, measured, name),
        *captured.get().removesuffix("\n").split("\n"),
        *(() if wide else ("< in use",)),
        *_footing(asked, measured),
    ):
        output.text(line.rstrip())


def _table(asked: Sweep, parameters: Sequence[Parameter], measured: Sequence[Measured], wide: int) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=not wide)
    for parameter in parameters:
        table.add_column(_head(parameter.key.path, _HEAD if wide else _HEAD_NARROW), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for head in (
        "quarantines",
        *(("found", "others", "median\ndelay") if asked.truths else ()),
        "minutes\nblocked",
        "verdicts\nw/d/c",
    ):
        table.add_column(head, justify="right")
    if wide:
        table.add_column("", no_wrap=True, min_width=wide)
    most = max((row.tried.blocked_minutes for row in measured if row.tried is not None), default=0.0)
    for row in measured:
        setting = asked.settings[row.number]
        mark = ("< in use" if wide else "<") if setting.is_in_use else ""
        if row.tried is None:
            table.add_row(*setting.texts, mark, "failed", style="red")
        else:
            bar = [_bar(row.tried.blocked_minutes / most if most else 0.0, wide)] if wide else []
            table.add_row(*setting.texts, mark, *_cells(asked, row.tried), *bar, style="bold" if setting.is_in_use else None)
    return table


def _head(path: Sequence[str], most: int) -> str:
    """Return a key in lines that are not too long."""
    lines = [path[0]]
    for part in path[1:]:
        if len(lines[-1]) + 1 + len(part) <= most:
            lines[-1] += f".{part}"
        else:
            lines.append(f".{part}")
    return "\n".join(lines)


def _heading(asked: Sweep, measured: Sequence[Measured], name: str) -> Iterator[str]:
    first = next((row.tried for row in measured if row.tried is not None), None)
    what = f" over {many(first.events, 'event')} of {many(first.markets, 'market')}" if first is not None else ""
    yield f"{asked.rule} of {name}{what}"
    if first is not None and asked.truths:
        left_out = len(asked.truths) - (first.known or 0)
        more = f"; {left_out} more lie on no market or time of these recordings" if left_out else ""
        known = first.known or 0
        yield f"{many(known, 'thing')} {'is' if known == 1 else 'are'} known to have happened{more}"


def _cells(asked: Sweep, tried: Tried) -> list[str]:
    cells = [str(tried.quarantines)]
    if asked.truths:
        cells += [
            f"{tried.found_events}/{tried.known}",
            str(tried.others),
            "" if tried.delay_s is None else f"{tried.delay_s:.1f} s",
        ]
    levels = tried.verdicts
    return [*cells, f"{tried.blocked_minutes:,.1f}", f"{levels['warning']}/{levels['danger']}/{levels['critical']}"]


def _bar(share: float, wide: int) -> str:
    whole, rest = divmod(round(share * wide * 8), 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(wide)


def _footing(asked: Sweep, measured: Sequence[Measured]) -> Iterator[str]:
    from guard.runtime.comparison import streams_in_words

    for row in measured:
        if row.error is not None:
            yield f"{' '.join(asked.settings[row.number].texts)} failed: {safe(row.error)}"
    tried = [row.tried for row in measured if row.tried is not None]
    if tried and tried[0].unseen:
        needs = streams_in_words(tried[0].unseen)
        yield f"{asked.rule} says nothing here: it needs {needs}, which no market of these recordings has"
    elif len(tried) > 1 and len({each.digest for each in tried}) == 1:
        yield "every value gives the same log: on these recordings it makes no difference"
    yield from _why_none(asked)
    yield in_sample(len(measured))


def _why_none(asked: Sweep) -> Iterator[str]:
    """Say why the rule cannot quarantine, whatever the recordings hold."""
    (spec,) = (rule.spec for rule in asked.rules.rules if rule.id == asked.rule)
    modes = {value.text for setting in asked.settings for value in setting.values if value.path == ("mode",)}
    if spec is not None and RuleMode.ENFORCE not in modes | {str(spec.mode)}:
        yield f"{asked.rule} is in mode {spec.mode}, which never quarantines; --param mode=enforce tells what it would block"
    if spec is not None and not any(step.quarantine for steps in spec.actions.values() for step in steps):
        yield f"{asked.rule} has no quarantine among its actions: look at its verdicts"
