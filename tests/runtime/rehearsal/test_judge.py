from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runtime.rehearsal.cases import PACK, case

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import Level, Market
from guard.runtime.rehearsal.judge import around, misses
from guard.runtime.rehearsal.scene import Scene, scripted
from guard.runtime.rehearsal.stage import Play, Stand, play

if TYPE_CHECKING:
    from guard.dsl import Program

SECOND = 1_000_000
MARKET = Market("sim", "TEST/USDT")
# Up by 5 % between 5 s and 10 s with buyers, then quiet: danger and blocked from about 8 s on, normal again about 30 s.
JUMP = 'feed: [{at: 5s, price: "100 -> 105 over 5s", trades: 10/s, side: buy}]'


def program(text: str = PACK) -> Program:
    report = Report()
    rules = rules_from_text(text, report)
    assert not report.problems
    return compile_rules(rules)


def judged(keys: str, pack: str = PACK) -> list[str]:
    test = case(keys)
    scene = scripted(test)
    played = play(scene, program(pack), test.rule)
    return [f"{miss.expected}: {miss.found}" for miss in misses(test, scene, played)]


@pytest.fixture(scope="module")
def jumped() -> tuple[Scene, Play]:
    scene = scripted(case(JUMP))
    return scene, play(scene, program(), "jump")


@pytest.mark.parametrize(
    "expectations",
    [
        "[{by: 12s, level: danger, blocked: true}]",
        "[{by: 12s, level: warning}]",
        "[{by: 12s, at_least: warning}]",
        "[{at: 4s, level: normal, blocked: false}, {by: 12s, level: danger}, {by: 50s, level: normal}]",
        "[{by: 12s, level: danger}, {at: 50s, level: normal, blocked: true}]",
        "[{never: critical}]",
        "[{by: 12s, after: 5s, level: danger}]",
    ],
)
def test_what_happened_meets_a_tolerant_expectation(expectations: str, jumped: tuple[Scene, Play]) -> None:
    assert list(misses(case(f"{JUMP}\nexpect: {expectations}"), *jumped)) == []


@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        ("{by: 6s, level: danger}", "danger or worse by 6s: normal, not blocked"),
        ("{by: 50s, level: critical}", "critical by 50s: danger, blocked"),
        ("{at: 50s, at_least: danger}", "danger or worse at 50s: normal, blocked"),
        ("{at: 12s, level: warning}", "warning at 12s: danger, blocked"),
        ("{never: warning}", "never warning or worse: danger, blocked"),
        ("{never: blocked}", "never blocked: danger, blocked"),
        ("{by: 4s, after: 3s, blocked: true}", "blocked by 4s: normal, not blocked"),
        ("{at: 50s, blocked: false}", "not blocked at 50s: normal, blocked"),
    ],
)
def test_a_miss_tells_what_was_expected_and_what_was_there(expectation: str, words: str, jumped: tuple[Scene, Play]) -> None:
    (miss,) = misses(case(f"{JUMP}\nexpect: [{expectation}]"), *jumped)
    assert f"{miss.expected}: {miss.found}".startswith(words)
    assert miss.path == ("expect", 0)


def test_what_comes_too_late_is_told_with_its_delay(jumped: tuple[Scene, Play]) -> None:
    (miss,) = misses(case(f"{JUMP}\nexpect: [{{by: 6s, level: danger}}]"), *jumped)
    assert "so only" in miss.found
    assert " s later, at " in miss.found


def test_an_expectation_waits_for_the_one_before_it(jumped: tuple[Scene, Play]) -> None:
    # The market is normal at 0 s, but after the danger that was waited for only from about 30 s on.
    (miss,) = misses(case(f"{JUMP}\nexpect: [{{by: 12s, level: danger}}, {{by: 13s, level: normal}}]"), *jumped)
    assert miss.path == ("expect", 1)
    assert list(misses(case(f"{JUMP}\nexpect: [{{by: 13s, level: normal}}, {{by: 14s, level: danger}}]"), *jumped)) == []


def test_the_ten_seconds_around_a_miss_hold_level_score_and_decisions(jumped: tuple[Scene, Play]) -> None:
    scene, played = jumped
    (miss,) = misses(case(f"{JUMP}\nexpect: [{{never: warning}}]"), scene, played)
    rows = around(played, miss)
    seconds = [row["at_s"] for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] >= miss.at_us / 1e6 - 5
    assert seconds[-1] <= miss.at_us / 1e6 + 5
    assert [row["event"]["type"] for row in rows if "event" in row] == ["verdict", "quarantine"]
    assert {row["level"] for row in rows if "level" in row} == {"normal", "danger"}


def test_a_rule_that_cannot_tell_does_not_pass_for_calm() -> None:
    (found,) = judged("feed: [{at: 1s, lost: 50s}]")
    assert "the rule jump can tell while it stays silent: it was unknown in" in found


def test_a_rule_out_of_scope_is_calm_and_knows_it() -> None:
    assert judged(JUMP, PACK.replace("mode: enforce", 'mode: enforce\n    scope: {symbol: "BTC/*"}')) == []


def test_a_quarantine_by_another_rule_fails_unless_it_is_ignored() -> None:
    pack = PACK + PACK.partition("rules:")[2].replace("jump:", "other:").replace("> 2%", "> 1%")
    quiet = pack.replace("> 2%", "> 50%")
    (found,) = judged(JUMP, quiet)
    assert found == "no quarantine by a rule other than jump: other held sim:TEST/USDT"
    assert judged(JUMP + "\nothers: ignore", quiet) == []


def test_only_the_rules_own_quarantine_counts_as_blocked() -> None:
    pack = PACK.replace("mode: enforce", "mode: alert") + PACK.partition("rules:")[2].replace("jump:", "other:")
    assert judged(f"{JUMP}\nothers: ignore\nexpect: [{{by: 12s, level: danger}}, {{never: blocked}}]", pack) == []


def test_playing_twice_gives_the_same_decisions(jumped: tuple[Scene, Play]) -> None:
    scene, played = jumped
    assert play(scene, program(), "jump").lines == played.lines


def test_a_level_and_its_block_are_one_change(jumped: tuple[Scene, Play]) -> None:
    _, played = jumped
    assert [stand[1:] for stand in played.stands[MARKET]] == [
        (Level.NORMAL, False),
        (Level.DANGER, True),
        (Level.NORMAL, True),
    ]
    assert played.stand(MARKET, 4 * SECOND) == Stand(-(1 << 62), Level.NORMAL, is_blocked=False)
