"""What a rule would have done: by what the ledger noted of it, and by recordings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.dsl import compile_rules
from guard.dsl.modes import with_mode
from guard.dsl.rules import set_hash
from guard.engine.holds import target_of
from guard.model import Level, Market, RuleMode
from guard.pipeline import Pipeline
from guard.runtime.replay import Replay, opened_tape
from guard.runtime.settings import tape_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from guard.dsl import Rule, RuleSet
    from guard.runtime.clock import SystemClock

__all__ = ["Hindsight", "hindsight", "replayed"]

_BATCH_ROWS: Final = 16_384
_LATEST_MAX: Final = 5


class Hindsight(NamedTuple):
    """What a rule's verdicts come to, in the modes alert and enforce.

    `episodes` left normal, `told` of them reached a level that tells people. `quarantines` would have been opened on `targets`
    for `minutes` at the least: what the release condition would have added is not known. `latest` are the last openings, or
    episodes where there is none: when, where, level and score.
    """

    episodes: int
    told: int
    quarantines: int
    targets: tuple[str, ...]
    minutes: float
    latest: tuple[tuple[int, str, str, float | None], ...]


def hindsight(verdicts: Iterable[Mapping[str, Any]], rule: Rule) -> Hindsight:
    """Return what a rule, as it is now, would have made of the level changes that the ledger noted of it, oldest first."""
    seen: set[tuple[str, int]] = set()
    alerted: set[tuple[str, int]] = set()
    begun: list[tuple[int, str, str, float | None]] = []
    opened: list[tuple[int, str, str, float | None]] = []
    held_until_us: dict[str, int] = {}
    held_us = 0
    for row in verdicts:
        level, at_us = Level[row["level"].upper()], row["at_us"]
        if level <= Level[row["previous"].upper()]:
            continue
        key, told = (row["market"], row["episode_us"]), (at_us, row["market"], row["level"], row["score"])
        if key not in seen:
            seen.add(key)
            begun.append(told)
        actions = rule.actions[level]
        if actions.alert:
            alerted.add(key)
        order = actions.quarantine
        if order is None:
            continue
        target = str(target_of(order.target or rule.per.target, Market.parse(row["market"])))
        if at_us >= held_until_us.get(target, 0):
            held_until_us[target] = at_us + order.for_us
            held_us += order.for_us
            opened.append(told)
    latest = tuple((opened or begun)[-_LATEST_MAX:])
    return Hindsight(len(seen), len(alerted), len(opened), tuple(sorted(held_until_us)), held_us / 60e6, latest)


def replayed(
    rules: RuleSet, rule_id: str, paths: Sequence[Path], *, exchange: str, clock: SystemClock, is_jitted: bool
) -> dict[str, Any]:
    """Replay recordings with one rule alone, in mode enforce, and return the summary of `Replay`.

    Its key ``judged`` tells on how many markets the rule looks: not where its scope ends, nor where a stream that it needs is not
    recorded. Raises ConfigurationError for a file that is no tape.
    """
    raised = tuple(with_mode(rule, RuleMode.ENFORCE, why="a replay") for rule in rules.rules if rule.id == rule_id)
    tape = opened_tape(paths, exchange=exchange)
    program = compile_rules(replace(rules, rules=raised, hash=set_hash(raised)))
    pipeline = Pipeline(program, tape_settings(tape), jit=is_jitted)
    replay = Replay(pipeline, batch_rows=_BATCH_ROWS, write=lambda _: None, takes_arrays=is_jitted)
    summary = replay.play(tape, clock=clock)
    judged = sum(bool(watched.binding.rules) for watched in pipeline.engine.watched)
    return {**summary, "judged": judged}
