"""Which values of a rule's numbers are tried, and what is said of those that cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.parameters import Value, keys_of, with_values
from guard.dsl.problems import NAMES, Place, Report, Source
from guard.dsl.trials import SETTINGS_MAX, between, trials
from guard.errors import Problem, RuleError

PACK = """
rules:
  busy:
    mode: enforce
    use: {pump: {detector: pump_dump}}
    let: {most: "3%", many: 2, high: ret(60s) * 2}
    when: trades(10s) > many and high < most
    risk:
      volume_anomaly: {weight: 0.7, value: "ramp(trades(10s), 0, 20)"}
      trade_pattern: {weight: 0.3, value: pump.score, optional: true}
    actions: {warning: [alert], danger: [alert, quarantine], critical: [{quarantine: {for: 2h}}]}
  plain: {when: trades(10s) > 3, level: danger}
"""
RULES = rules_from_text(PACK, Report())


def tried(*written: str, rule: str = "busy", steps: int = 3) -> list[tuple[str, ...]]:
    return [setting.texts for setting in trials(RULES, rule, written, steps=steps)[1]]


def refused(*written: str, rule: str = "busy", steps: int = 3) -> list[Problem]:
    with pytest.raises(RuleError) as caught:
        trials(RULES, rule, written, steps=steps)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("written", "texts"),
    [
        ("levels.danger=0.7..0.9", ["0.7", "0.8", "0.9"]),
        ("for=0..4s", ["0s", "2s", "4s"]),
        ("for=500ms..1s", ["0s", "500ms", "750ms", "1s"]),
        ("clear.for=2m..30s", ["2m", "75s", "1m", "30s"]),
        ("let.most=100bp..3%", ["1%", "2%", "3%"]),
        ("let.many=2,4", ["2", "4"]),
        ("use.pump.params.rise=0.01,0.03", ["0.01", "0.03"]),
        ("risk.volume_anomaly.weight=0.7..0.7", ["0.7"]),
        ("actions.danger.quarantine.for=10m,30m", ["10m", "30m"]),
        ("actions.critical.quarantine.for=1h,2h", ["1h", "2h"]),
        ("mode=alert,enforce", ["alert", "enforce"]),
    ],
)
def test_values_are_tried_in_order_and_the_one_in_use_among_them(written: str, texts: list[str]) -> None:
    assert [text for (text,) in tried(written)] == texts


def test_one_setting_is_the_one_in_use_even_where_it_is_written_otherwise() -> None:
    settings = trials(RULES, "busy", ["let.most=1%,300bp"], steps=2)[1]
    assert [(setting.texts, setting.is_in_use) for setting in settings] == [(("1%",), False), (("300bp",), True)]


def test_several_parameters_give_all_combinations() -> None:
    assert tried("levels.danger=0.7,0.8", "for=0s,1s") == [("0.7", "0s"), ("0.7", "1s"), ("0.8", "0s"), ("0.8", "1s")]


@pytest.mark.parametrize(
    ("written", "code", "column", "says"),
    [
        (["levels.dangr=0.7"], "E075", 1, "did you mean levels.danger?"),
        (["nothing.here=1"], "E075", 1, "there are: mode, levels.warning"),
        (["when=1"], "E076", 1, "give the number in it a name under let:"),
        (["let.high=1"], "E076", 1, "ret(60s) * 2"),
        (["levels.danger"], "E077", 1, "KEY=VALUES"),
        (["levels.danger="], "E077", 1, "KEY=VALUES"),
        (["levels.danger=..0.9"], "E077", 15, "a number at each end"),
        (["levels.danger=0.7..x"], "E077", 20, "'x'"),
        (["for=1s..4%"], "E077", 9, "different units"),
        (["for=1s,,2s"], "E077", 8, "missing between"),
        (["for=1s", "for=2s"], "E077", 1, "more than once"),
        (["for=1s..9s", "clear.for=1s..9s", "levels.danger=0.6..0.9"], "E077", 1, f"at most {SETTINGS_MAX:,}"),
        (["levels.danger=0.7,1.2"], "E024", 19, "<= 1"),
        (["for=1,2s"], "E025", 5, "needs its unit"),
        (["use.pump.params.rise=0..1"], "E051", 22, "must be > 0"),
        (["mode=loud"], "E023", 6, "expected"),
    ],
)
def test_what_cannot_be_tried_is_told_at_its_place(written: list[str], code: str, column: int, says: str) -> None:
    problems = refused(*written, steps=11)
    first = next(problem for problem in problems if problem.id == code)
    assert first.column == column
    assert says in str(first)
    assert NAMES[code] == first.name
    assert first.source in written


def test_unknown_rule_is_told_with_the_one_that_was_meant() -> None:
    (problem,) = refused("for=1s", rule="bussy")
    assert (problem.id, problem.hint) == ("E027", "did you mean busy?")


def test_range_that_leaves_what_is_allowed_is_told_with_what_remains() -> None:
    *_, last = refused("levels.danger=0.7..1.1", steps=5)
    assert last.id == "E077"
    assert last.message == "2 of 5 settings are refused: 1 ... 1.1"
    assert "accepted: 0.7 ... 0.9" in last.hint


def test_every_key_that_is_offered_takes_its_own_value() -> None:
    for rule in RULES.rules:
        for key in keys_of(rule).values():
            report, nowhere = Report(), Place(Source.of("x", "x"))
            changed = with_values(RULES, rule.id, [Value(key.path, key.in_use, nowhere, nowhere)], report)
            assert report.errors == (), key
            before, after = compile_rules(RULES), compile_rules(changed)
            for one, two in zip(before.rules, after.rules, strict=True):
                assert (one.for_us, one.clear_for_us, one.factors, one.mode) == (
                    two.for_us,
                    two.clear_for_us,
                    two.factors,
                    two.mode,
                )
                assert one.actions == two.actions, key


def test_value_gives_the_rule_that_a_file_with_it_gives() -> None:
    nowhere = Place(Source.of("x", "x"))
    values = [Value(("risk", "volume_anomaly", "weight"), "0.5", nowhere, nowhere), Value(("let", "many"), "7", nowhere, nowhere)]
    changed = with_values(RULES, "busy", values, Report())
    by_hand = rules_from_text(PACK.replace("weight: 0.7", "weight: 0.5").replace("many: 2", "many: 7"), Report())
    assert [rule.hash for rule in changed.rules] == [rule.hash for rule in by_hand.rules]
    assert changed.hash == by_hand.hash != RULES.hash


VALUES = st.floats(0, 1).map(lambda value: f"{value:.6f}")


@given(VALUES, VALUES, st.integers(2, 40))
def test_a_range_runs_from_end_to_end_without_a_step_back(low: str, high: str, steps: int) -> None:
    texts = between(low, high, steps)
    assert texts is not None
    values = [float(text) for text in texts]
    assert (values[0], values[-1]) == (float(low), float(high))
    assert values == sorted(values, reverse=float(high) < float(low))
    assert len(values) == (1 if float(low) == float(high) else steps)
