"""One recording under two rule sets, and what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.dsl import compile_rules
from guard.dsl.describe import shown
from guard.errors import OperationRefused
from guard.model.moments import stamp
from guard.pipeline import Pipeline
from guard.runtime.matching import matched
from guard.runtime.replay import Replay
from guard.runtime.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from guard.dsl import Program, RuleSet
    from guard.dsl.rules import RuleSource
    from guard.model import MarketFacts
    from guard.pipeline import Settings
    from guard.runtime.matching import Match
    from guard.runtime.spans import Span

__all__ = ["Comparison", "KeyChange", "RuleChange", "Unseen", "compare", "rule_changes", "streams_in_words", "unseen"]


_STREAMS = {"book": "an order book", "trades": "trades", "peers": "the prices of other exchanges"}


class KeyChange(NamedTuple):
    """One key of a rule with its values, None where it is not there."""

    key: str
    old: str | None
    new: str | None


class RuleChange(NamedTuple):
    """A rule that is not the same in both sets; `change` is ``added``, ``removed`` or ``changed``."""

    rule: str
    change: str
    keys: tuple[KeyChange, ...] = ()


class Unseen(NamedTuple):
    """A rule that says nothing, because it needs `streams` that no market of the recording has."""

    rule: str
    streams: tuple[str, ...]


class Side:
    """One of both rule sets with all that it makes of the recording."""

    def __init__(self, rules: RuleSet, settings: Settings, *, only: Collection[str], jit: bool, batch_rows: int) -> None:
        self.rules = rules
        self.program: Program = compile_rules(rules)
        self.spans = Spans(only)
        pipeline = Pipeline(self.program, settings, jit=jit)
        self.replay = Replay(pipeline, batch_rows=batch_rows, write=lambda _record: None, takes_arrays=jit, watch=self.spans.take)

    @property
    def now_us(self) -> int:
        """Up to when the recording goes."""
        return self.replay.pipeline.now_us

    def document(self) -> dict[str, Any]:
        """Return its counts, JSON-able."""
        blocked = self.spans.blocked.minutes(self.now_us)
        return {
            "rules": len(self.rules.rules),
            "hash": self.program.hash,
            "verdicts": self.spans.verdicts,
            "quarantines": self.spans.quarantines,
            "blocked_minutes": round(blocked, 3),
            "digest": self.replay.log.digest,
        }


class Comparison(NamedTuple):
    """What differs; `episodes` and `stays` hold what is the same, too."""

    old: Side
    new: Side
    rules: tuple[RuleChange, ...]
    episodes: tuple[Match, ...]
    stays: tuple[Match, ...]
    blocked: tuple[tuple[str, float, float], ...]
    unseen: tuple[Unseen, ...]
    rejected: Mapping[str, int]

    @property
    def is_same(self) -> bool:
        """Whether no level, time or quarantine differs."""
        return all(match.is_same for match in (*self.episodes, *self.stays))

    def document(self) -> dict[str, Any]:
        """Return what `guard replay --diff --json` prints."""
        changes = [
            {"what": what, **_match_document(match)}
            for what, matches in (("episode", self.episodes), ("quarantine", self.stays))
            for match in matches
            if not match.is_same
        ]
        return {
            "same": self.is_same,
            "same_log": self.old.replay.log.digest == self.new.replay.log.digest,
            "events": self.new.replay.events,
            "markets": self.new.replay.markets,
            "rejected": dict(self.rejected),
            "old": self.old.document(),
            "new": self.new.document(),
            "rules": [{"rule": row.rule, "change": row.change, "keys": [key._asdict() for key in row.keys]} for row in self.rules],
            "counts": {"episodes": counts(self.episodes), "quarantines": counts(self.stays)},
            "changes": sorted(changes, key=lambda row: str((row["new"] or row["old"])["start"])),
            "blocked": [{"target": name, "old": round(old, 3), "new": round(new, 3)} for name, old, new in self.blocked],
            "unseen": [{"rule": row.rule, "streams": list(row.streams)} for row in self.unseen],
        }


def compare(
    tape: Any,  # noqa: ANN401 - guard imports no connector
    old: RuleSet,
    new: RuleSet,
    settings: Settings,
    *,
    only: Collection[str] = (),
    within_us: int,
    jit: bool,
    batch_rows: int,
) -> Comparison:
    """Replay a tape, read once, under two rule sets.

    Parameters
    ----------
    tape
        What `guard.runtime.replay.opened_tape` returned.
    only
        Rules that are compared; none means all. All rules of both sets run in any case.
    within_us
        Spans that begin so near to each other are one and the same.

    Raises
    ------
    OperationRefused
        The tape has no event, or there is too much to compare.
    RuleError
        A set has mistakes.
    """
    sides = [Side(rules, settings, only=only, jit=jit, batch_rows=batch_rows) for rules in (old, new)]
    markets: list[MarketFacts] = []
    for opened, batch in tape.batches(batch_rows):
        markets += opened
        for side in sides:
            side.replay.feed(opened, batch)
    first, second = sides
    if not second.replay.events:
        raise OperationRefused("the recordings hold no event, so there is nothing to compare")
    programs = [side.program for side in sides]
    return Comparison(
        first,
        second,
        tuple(change for change in rule_changes(old, new) if not only or change.rule in only),
        tuple(matched(first.spans.episodes, second.spans.episodes, within_us=within_us)),
        tuple(matched(first.spans.stays, second.spans.stays, within_us=within_us)),
        _blocked(first, second),
        tuple(dict.fromkeys(row for program in programs for row in unseen(program, markets) if not only or row.rule in only)),
        tape.rejected,
    )


def counts(matches: Collection[Match]) -> dict[str, int]:
    """Return how many are the same, gained, lost and changed, and how many of those changed are at another level."""
    both = [match for match in matches if match.old is not None and match.new is not None and not match.is_same]
    return {
        "same": sum(match.is_same for match in matches),
        "gained": sum(match.old is None for match in matches),
        "lost": sum(match.new is None for match in matches),
        "changed": len(both),
        "other_level": sum(match.has_other_level for match in both),
    }


def _blocked(old: Side, new: Side) -> tuple[tuple[str, float, float], ...]:
    """Return minutes by target, most first."""
    before, after = (side.spans.blocked.by_target(side.now_us) for side in (old, new))
    rows = ((name, before.get(name, 0.0), after.get(name, 0.0)) for name in sorted({*before, *after}))
    return tuple(sorted(rows, key=lambda row: -max(row[1:])))


def _span_document(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    return {
        "start": stamp(span.start_us),
        "end": None if span.end_us is None else stamp(span.end_us),
        "level": str(span.level),
    }


def _match_document(match: Match) -> dict[str, Any]:
    change = "gained" if match.old is None else "lost" if match.new is None else "changed"
    shift_us = match.end_shift_us
    return {
        "change": change,
        "rule": match.either.rule,
        "place": match.either.place,
        "old": _span_document(match.old),
        "new": _span_document(match.new),
        "start_shift_s": match.start_shift_us / 1e6,
        "end_shift_s": None if shift_us is None else shift_us / 1e6,
        "part": match.is_part,
    }


def unseen(program: Program, markets: Collection[MarketFacts]) -> list[Unseen]:
    """Return the rules that need streams which no market in their scope has."""
    found = []
    for number, rule in enumerate(program.rules):
        covered = [facts for facts in markets if rule.covers(facts)]
        lacking = [program.lacking(number, facts) for facts in covered]
        if covered and all(lacking):
            found.append(Unseen(rule.id, tuple(sorted(frozenset.union(*lacking)))))
    return found


def streams_in_words(streams: Collection[str]) -> str:
    """Return for people what a rule needs.

    Examples
    --------
    >>> streams_in_words(["book", "peers"])
    'an order book and the prices of other exchanges'
    """
    return " and ".join(_STREAMS.get(stream, stream) for stream in streams)


def rule_changes(old: RuleSet, new: RuleSet) -> tuple[RuleChange, ...]:
    """Return the rules that differ, by name, with the keys that do."""
    before, after = ({rule.id: rule for rule in rules.rules} for rules in (old, new))
    found = []
    for name in sorted({*before, *after}):
        one, two = before.get(name), after.get(name)
        if one is None or two is None:
            found.append(RuleChange(name, "added" if one is None else "removed"))
        elif one.hash != two.hash:
            found.append(RuleChange(name, "changed", tuple(_key_changes(one, two))))
    return tuple(found)


def _key_changes(old: RuleSource, new: RuleSource) -> list[KeyChange]:
    before, after = _flat(old), _flat(new)
    names = dict.fromkeys([*before, *after])
    return [KeyChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _flat(rule: RuleSource) -> dict[str, str]:
    """Return a rule's keys with defaults, with the lists and macros of its file, as texts."""
    found: dict[str, str] = {}

    def walk(value: Any, path: str) -> None:  # noqa: ANN401 - any part of a rule
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else str(key))
        elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
            for inner in value:
                kind = next((key for key, part in inner.items() if part), "") if isinstance(inner, dict) else ""
                walk(inner.get(kind) if isinstance(inner, dict) else inner, f"{path}.{kind}")
        elif value is not None:
            found[path] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    walk(shown(rule, resolved=True), "")
    walk({"lists": {name: list(words) for name, words in rule.lists.items()}}, "")
    walk({"macros": {name: macro.text for name, macro in rule.macros.items()}}, "")
    return found
