"""What ``guard replay --diff`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.cli.counting import many
from guard.cli.durations import say_duration
from guard.cli.output import Exit
from guard.cli.wording import safe
from guard.model.moments import stamp
from guard.runtime.comparison import counts, streams_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard.cli.output import Output
    from guard.runtime.comparison import Comparison, RuleChange
    from guard.runtime.matching import Match
    from guard.runtime.spans import Span

__all__ = ["show_diff"]

ROWS_MAX = 200
_KEYS_MAX = 8
_TARGETS_MAX = 20


def show_diff(output: Output, found: Comparison, names: tuple[str, str]) -> Exit:
    """Print a comparison; 1 where something differs."""
    if output.is_json:
        old, new = names
        document = found.document()
        output.document({**document, "old": {"name": old, **document["old"]}, "new": {"name": new, **document["new"]}})
    else:
        for line in _lines(found, names):
            output.text(line)
    return Exit.OK if found.is_same else Exit.FINDINGS


def _lines(found: Comparison, names: tuple[str, str]) -> Iterator[str]:
    yield f"{many(found.new.replay.events, 'event')} of {many(found.new.replay.markets, 'market')}"
    for reason, count in found.rejected.items():
        yield f"{count:,} rows were refused: {reason}"
    width = max(map(len, names))
    for word, name, side in (("old", names[0], found.old), ("new", names[1], found.new)):
        counted = side.document()
        levels = ", ".join(f"{count} {level}" for level, count in counted["verdicts"].items())
        yield (
            f"{word}  {name:<{width}}  {many(counted['rules'], 'rule')}; verdicts: {levels}; "
            f"quarantines: {counted['quarantines']}, {counted['blocked_minutes']:,.1f} minutes blocked"
        )
    for row in found.unseen:
        yield f"{row.rule} says nothing here: it needs {streams_in_words(row.streams)}, which no market of these recordings has"
    yield from _rule_lines(found.rules)
    if found.is_same:
        same = found.old.replay.log.digest == found.new.replay.log.digest
        yield "nothing differs" if same else "nothing differs but scores: every level, time and quarantine is the same"
        return
    yield f"episodes     {_counted(found.episodes)}"
    yield f"quarantines  {_counted(found.stays)}"
    yield from _blocked_lines(found)
    yield ""
    rows = [
        (match.either.start_us, what, match)
        for what, matches in (("episode", found.episodes), ("quarantine", found.stays))
        for match in matches
        if not match.is_same
    ]
    rows.sort(key=lambda row: row[0])
    for _, what, match in rows[:ROWS_MAX]:
        yield _row(what, match)
    if len(rows) > ROWS_MAX:
        yield f"... and {len(rows) - ROWS_MAX:,} more; --json has them all, --only RULE has fewer"


def _rule_lines(rules: Iterable[RuleChange]) -> Iterator[str]:
    for rule in rules:
        if rule.change != "changed":
            yield f"{rule.rule}: {'only in the new rules' if rule.change == 'added' else 'only in the old rules'}"
            continue
        keys = [f"{key.key} {_short(key.old)} -> {_short(key.new)}" for key in rule.keys[:_KEYS_MAX]]
        more = f" and {len(rule.keys) - _KEYS_MAX} more keys" if len(rule.keys) > _KEYS_MAX else ""
        yield f"{rule.rule}: {'; '.join(keys) or 'the same keys, written otherwise'}{more}"


def _short(text: str | None, *, most: int = 60) -> str:
    if text is None:
        return "(none)"
    return safe(text if len(text) <= most else f"{text[:most]}...")


def _counted(matches: Iterable[Match]) -> str:
    found = counts(list(matches))
    levels = f" ({found['other_level']} at another level)" if found["other_level"] else ""
    return f"{found['same']} the same, {found['gained']} gained, {found['lost']} lost, {found['changed']} changed{levels}"


def _blocked_lines(found: Comparison) -> Iterator[str]:
    rows = [(name, old, new) for name, old, new in found.blocked if old != new]
    if not rows:
        return
    rows.insert(0, ("in all", sum(row[1] for row in found.blocked), sum(row[2] for row in found.blocked)))
    width = max(len(name) for name, _, _ in rows[: _TARGETS_MAX + 1])
    yield "minutes blocked"
    for name, old, new in rows[: _TARGETS_MAX + 1]:
        yield f"    {name:<{width}} {old:>10,.1f} -> {new:>10,.1f}  ({new - old:+,.1f})"
    if len(rows) > _TARGETS_MAX + 1:
        yield f"    ... and {len(rows) - _TARGETS_MAX - 1} more targets"


def _row(what: str, match: Match) -> str:
    span = match.either
    return f"{stamp(span.start_us)}  {what:<10} {span.rule:<16} {safe(span.place):<20} {_said(match)}"


def _said(match: Match) -> str:
    old, new = match.old, match.new
    if old is None or new is None:
        word = "GAINED" if old is None else "LOST"
        other = "the old rules have one with it" if old is None else "the new rules have one with it"
        return f"{word}  {_whole(match.either)}{f', {other}' if match.is_part else ''}"
    told = []
    if match.has_other_level:
        told.append(f"{new.level} in place of {old.level}")
    if match.start_shift_us:
        told.append(f"begins {_shift(match.start_shift_us)}")
    end_us = match.end_shift_us
    if end_us is None:
        told.append("does not end any more" if new.end_us is None else f"ends, at {stamp(new.end_us)}")
    elif end_us:
        told.append(f"ends {_shift(end_us)}")
    return ", ".join(told)


def _whole(span: Span) -> str:
    lasts = "to the end of the recordings" if span.end_us is None else f"for {_duration(span.end_us - span.start_us)}"
    return f"{span.level} {lasts}"


def _shift(shift_us: int) -> str:
    return f"{_duration(abs(shift_us))} {'later' if shift_us > 0 else 'earlier'}"


def _duration(duration_us: int) -> str:
    """Return a duration, with tenths of a second where it is short."""
    return f"{duration_us / 1e6:.3g}s" if duration_us < 60_000_000 else say_duration(duration_us)  # noqa: PLR2004 - a minute
