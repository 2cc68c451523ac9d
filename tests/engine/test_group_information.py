"""Data that goes never raises a group, over random streams through the whole engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine.streams import batches
from engine.test_random_rules import Choices

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import Channel, Kind, Level, Market, MarketFacts, Status
from guard.pipeline import Pipeline
from guard_sim import tape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.model import Verdict

S = 1_000_000
T0 = 1_700_000_000 * S
MARKETS = [MarketFacts(Market("one", f"{name}/USDT"), streams=frozenset({"trades"})) for name in "ABCD"]
RULE = """
rules:
  storm:
    mode: alert
    per: exchange
    quorum: {quorum}
    risk:
      trade_pattern: {{weight: 1, value: "trades({window}) / 6"}}
    for: {wait}
    clear: {{when: score < 0.5, for: {clear}}}
"""


def rows_of(choices: Choices, count: int) -> list[tape.Row]:
    found = [tape.Row(Kind.STATUS, row, T0, T0, 0.0, 0.0, Channel.ALL, Status.LIVE, 0) for row in range(len(MARKETS))]
    at_us, pace = T0, [0.25] * len(MARKETS)
    for key in range(count):
        at_us += int(S * choices.share() * choices.of([0.1, 0.3, 1.0]))
        if choices.share() < 0.05:
            pace[int(len(pace) * choices.share())] = choices.of([0.05, 0.3, 1.0])
        row = int(len(MARKETS) * choices.share())
        if choices.share() < pace[row]:
            found.append(tape.Row(Kind.TRADE, row, at_us, at_us, 1.0, 1.0, 1, key, 0))
    return found


def levels_of(rule: str, rows: Sequence[tape.Row]) -> list[Verdict]:
    report = Report()
    pipeline = Pipeline(compile_rules(rules_from_text(rule, report)))
    for facts in MARKETS:
        pipeline.open(facts)
    found = [verdict for batch in batches(rows, len(rows)) for verdict in pipeline.process(batch).verdicts]
    return [*found, *pipeline.advance(pipeline.now_us + 60 * S).verdicts]


def level_at(verdicts: Sequence[Verdict], at_us: int) -> Level:
    return max((verdict.level for verdict in verdicts if verdict.at_us == at_us), default=Level.NORMAL) or next(
        (verdict.level for verdict in reversed(verdicts) if verdict.at_us <= at_us), Level.NORMAL
    )


@pytest.mark.parametrize("seed", range(25))
def test_markets_whose_data_is_lost_never_raise_their_group(seed: int) -> None:
    choices = Choices(seed)
    rule = RULE.format(
        quorum=choices.of(["1", "2", "3", "50%", "60%"]),
        window=choices.of(["2s", "5s"]),
        wait=choices.of(["0s", "2s"]),
        clear=choices.of(["1s", "20s"]),
    )
    rows = rows_of(choices, 600)
    whole = levels_of(rule, rows)
    for _ in range(3):
        at_us = rows[int(len(rows) * choices.share())].at_us
        gone = {number for number in range(len(MARKETS)) if choices.share() < 0.4}
        lost = [tape.Row(Kind.STATUS, row, at_us, at_us, 0.0, 0.0, Channel.ALL, Status.LOST, 0) for row in sorted(gone)]
        kept = [row for row in rows if row.at_us <= at_us or row.market not in gone]
        less = levels_of(rule, sorted([*kept, *lost], key=lambda row: row.at_us))
        for verdict in less:
            if verdict.level > verdict.previous:
                # The bin of an evaluation may end a little later where another market's event fires it.
                around = max(level_at(whole, moment) for moment in (verdict.at_us, verdict.at_us - 50_000, verdict.at_us + 50_000))
                assert verdict.level <= around
