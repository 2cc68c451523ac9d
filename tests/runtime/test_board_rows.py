"""The rows of the board: which rule leads, and which markets have their level together."""

from __future__ import annotations

from engine.grouped import EXCHANGE, MARKETS, Bench

from guard.model import Level
from guard.runtime.board import board_rows, group_records


def test_a_group_above_normal_is_told_with_those_that_hold_it() -> None:
    bench = Bench()
    assert group_records(bench.pipeline) == []
    bench.burst("one:A/USDT", 20)
    bench.burst("one:C/USDT", 21)
    (told,) = group_records(bench.pipeline)
    assert (told["rule"], told["mode"], told["per"], told["group"], told["level"]) == (
        "storm",
        "enforce",
        "exchange",
        "one",
        "danger",
    )
    assert (told["held"], told["needed"], told["of"]) == (2, 2, 3)
    assert told["members"] == ["one:A/USDT", "one:C/USDT"]


def test_at_the_same_level_a_rule_that_tells_people_leads_before_one_in_the_shadow() -> None:
    rules = EXCHANGE.partition("rules:\n")[2]
    quiet = rules.replace("storm:", "quiet:").replace("enforce", "shadow")
    for packs in (f"{EXCHANGE}{quiet}", EXCHANGE.replace(rules, f"{quiet}{rules}")):
        bench = Bench(packs)
        for at_s, name in enumerate(MARKETS[:3]):
            bench.burst(name, 20 + at_s)
        row = next(row for row in board_rows(bench.pipeline, bench.pipeline.now_us) if row.market == "one:A/USDT")
        assert (row.rule, row.mode, row.level) == ("storm", "enforce", Level.DANGER)
