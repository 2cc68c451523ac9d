from __future__ import annotations

from itertools import product

import pytest
import yaml
from dsl.small import CATALOGUE, DETECTORS, FIELDS, RULE, facts, program
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.compilation import compiled
from guard.dsl.problems import NAMES, Report
from guard.dsl.rules import RULES_MAX
from guard.engine import Engine
from guard.errors import Problem, RuleError
from guard.features.catalogue import CATALOGUE as KERNEL_CATALOGUE
from guard.features.fields import FIELDS as KERNEL_FIELDS
from guard.features.tables import WINDOWS_MAX
from guard.model import Market, MarketFacts


def found(text: str) -> list[Problem]:
    report = Report()
    rules = rules_from_text(text, report)
    compiled(rules, report, fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)
    return list(report.problems)


def rule(keys: str) -> str:
    return f"rules:\n  one:\n{keys}"


@pytest.mark.parametrize(
    ("keys", "code", "line", "says"),
    [
        ("    title: x", "E025", 2, "when: or risk:"),
        ("    when: ret(1s) > 1%", "E025", 2, "needs level:"),
        ("    level: danger\n    risk: {a: {weight: 1, value: ret(1s)}}", "E025", 2, "use levels:"),
        ("    risk: {a: {weight: 1, value: ret(1s), optional: true}}", "E025", 2, "must be required"),
        ("    risk: {a: {weight: 1}}", "E021", 3, "'value' is missing"),
        ("    risk: {a: {weight: -1, value: ret(1s)}}", "E024", 3, "must be > 0"),
        ("    risk: {a: {weight: .nan, value: ret(1s)}}", "E022", 3, "a number"),
        ("    risk: {a: {weight: 1, value: crossed}}", "E044", 3, "expected a number"),
        ("    risk: {a: {weight: 1, value: ramp(ret(1s), 1%, 2%)}}", "E012", 3, "quote"),
        ("    {level: danger, when: crossed, levels: {warning: 80%, danger: 70%}}", "E025", 3, "must rise"),
        ("    {level: danger, when: crossed, use: {x: {detector: pump_dmp}}}", "E050", 3, "did you mean pump_dump?"),
        (
            "    {level: danger, when: x.score > 1, use: {x: {detector: pump_dump, params: {windw: 1s}}}}",
            "E051",
            3,
            "did you mean window?",
        ),
        (
            "    {level: danger, when: x.score > 1, use: {x: {detector: pump_dump, params: {count: many}}}}",
            "E051",
            3,
            "whole number",
        ),
        ("    {level: danger, when: x.scor > 1, use: {x: {detector: pump_dump}}}", "E042", 3, "did you mean x.score?"),
        ("    {level: danger, when: crossed, let: {Score: 1}}", "E025", 3, "not a name"),
        ("    {level: danger, when: crossed, unless: {a: ret(1s)}}", "E044", 3, "a condition"),
        ("    {level: danger, when: crossed, actions: {danger: [alarm]}}", "E025", 3, "an action is alert"),
        (
            "    {level: danger, when: crossed, actions: {danger: [{quarantine: {for: 2d, escalate: {max: 1d}}}]}}",
            "E025",
            3,
            "shorter than for",
        ),
        ("    {level: danger, when: crossed, clear: {when: scor < 1}}", "E042", 3, "did you mean score?"),
        ("    {level: danger, when: crossed, scope: {class: sport}}", "E023", 3, "did you mean spot?"),
        ("    {level: danger, when: null}", "E025", 2, "when: or risk:"),
        ("    {level: danger, when: [a]}", "E022", 3, "a text"),
        ("    text", "E011", 3, "keys and values"),
    ],
)
def test_mistake_in_a_rule_has_line_and_words(keys: str, code: str, line: int, says: str) -> None:
    errors = [problem for problem in found(rule(keys)) if problem.severity == "error"]
    assert [(problem.id, problem.line) for problem in errors] == [(code, line)]
    assert says in str(errors[0])


def test_expressions_are_checked_where_keys_are_wrong_too() -> None:
    ids = [problem.id for problem in found(rule("    {mod: x, when: retn(1s) > 1, level: danger}"))]
    assert ids == ["E020", "E042"]


def test_duplicate_and_odd_ids_are_refused() -> None:
    assert [row.id for row in found("rules: {Bad Id: {level: danger, when: crossed}}")] == ["E025"]
    assert [row.id for row in found("rules:\n  a: {level: danger, when: crossed}\n  a: {level: danger, when: crossed}")] == ["E004"]


def test_unused_names_and_constant_conditions_are_warnings() -> None:
    text = "macros: {m: crossed}\n" + rule("    {level: danger, when: 1 < 2, let: {a: ret(1s)}}")
    assert sorted(row.id for row in found(text)) == ["W001", "W001", "W002"]
    compile_rules(rules_from_text(text, Report()), fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)


def test_rule_with_a_mistake_is_not_told_that_its_score_is_constant() -> None:
    text = rule("    {risk: {a: {weight: 1, value: retn(1s)}}, clear: {when: score < 0.4}}")
    assert [row.id for row in found(text)] == ["E042"]


def test_too_many_rules_are_refused() -> None:
    lines = "".join(f" r{at}: {{}}\n" for at in range(RULES_MAX + 1))
    assert "E010" in {problem.id for problem in found(f"rules:\n{lines}")}


def test_too_many_exceptions_or_factors_of_one_rule_are_refused() -> None:
    many = ", ".join(f"e{at}: crossed" for at in range(65))
    assert [row.id for row in found(rule(f"    {{level: danger, when: crossed, unless: {{{many}}}}}"))] == ["E024"]
    fine = ", ".join(f"e{at}: ret({at + 1}s) > 1%" for at in range(64))
    program(rule(f"    {{level: danger, when: crossed, unless: {{{fine}}}}}")).bind(facts())


def test_every_problem_has_a_stable_name() -> None:
    assert len(set(NAMES.values())) == len(NAMES)
    for problem in found(rule("    {mod: x, when: retn(1s) > 1, level: danger}")):
        assert NAMES[problem.id] == problem.name


def test_broken_detector_is_blamed_on_the_detector() -> None:
    class Broken(DETECTORS["pump_dump"]):  # type: ignore[misc]
        score = "nothing(window)"

    report = Report()
    rules = rules_from_text(RULE, report)
    assert compiled(rules, report, fields=FIELDS, catalogue=CATALOGUE, detectors={"pump_dump": Broken}) is None
    assert [problem.id for problem in report.errors] == ["E052"]
    assert "unknown name 'nothing'" in report.errors[0].message


def test_broken_feature_is_blamed_on_the_catalogue() -> None:
    report = Report()
    broken = [feature._replace(formula="vol_z(w)") if feature.name == "vol_z" else feature for feature in CATALOGUE]
    compiled(rules_from_text(RULE, report), report, fields=FIELDS, catalogue=broken, detectors=DETECTORS)
    assert {problem.id for problem in report.errors} == {"E053"}


mutations = st.lists(
    st.tuples(
        st.integers(0, len(RULE) - 1),
        st.integers(0, 12),
        st.text(alphabet=st.sampled_from("a:{}[]\"'%$>,.0 \n-*&!()="), max_size=4),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(mutations)
def test_torn_file_gives_a_program_or_problems(cuts: list[tuple[int, int, str]]) -> None:
    text = RULE
    for at, length, instead in cuts:
        text = text[:at] + instead + text[at + length :]
    report = Report()
    rules = rules_from_text(text, report)
    made = compiled(rules, report, fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)
    lines = text.replace("\r", "\n").split("\n")
    assert (made is None) == bool(report.errors)
    assert all(1 <= row.line <= len(lines) + 1 and row.column >= 1 for row in report.problems)
    if made is not None:
        made.bind(facts()).evaluate([float("nan")] * len(made.leaves))


trees = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["ret(1s) > 1%", "danger", "1s", "x", "*", "alert"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["when", "risk", "level", "use", "let", "actions", "clear", "scope", "weight", "value", "a"]), inner
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(trees, st.sampled_from(["rules", "override", "lists", "macros"]))
def test_any_tree_under_any_key_gives_a_program_or_problems(tree: object, key: str) -> None:
    text = yaml.safe_dump({"rules": {"one": {"level": "danger", "when": "crossed"}}, key: {"one": tree}})
    report = Report()
    made = compiled(rules_from_text(text, report), report, fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)
    assert (made is None) == bool(report.errors)


def test_fifteen_rules_are_one_function_over_what_they_share() -> None:
    head, body = RULE.split("rules:\n")
    text = f"{head}rules:\n" + "".join(
        body.replace("  pump:\n", f"  pump{at}:\n").replace("move: ret(60s)", f"move: ret({at + 31}s)") for at in range(15)
    )
    one, made = program(RULE), program(text)
    # Each has a window of its own; all else is read, and computed, once for all of them.
    assert len(made.leaves) == len(one.leaves) + 14
    assert len(made.bind(facts()).evaluate([float("nan")] * len(made.leaves))) == len(made.rules) == 15
    assert made.bind(facts("X/USDT")).evaluate is made.bind(facts("Y/USDT")).evaluate


def test_errors_are_raised_all_together() -> None:
    with pytest.raises(RuleError) as caught:
        program(rule("    {level: danger, when: retn(1s) > 1%, unless: {a: spreed > 1%}}"))
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(("window", "found_in_words"), [("500ms", "500ms"), ("25h", "25h"), ("1s", ""), ("1d", ""), ("1.5s", "")])
def test_window_that_the_kernel_does_not_keep_is_a_mistake_at_its_place(window: str, found_in_words: str) -> None:
    text = f"rules:\n  a: {{level: danger, when: trades({window}) > 3}}"
    problems = check_text(text)
    if not found_in_words:
        assert problems == ()
        return
    (problem,) = problems
    assert (problem.id, problem.line, problem.column) == ("E043", 2, 35)
    assert problem.message == f"trades(): w must last 1s to 1d, found {found_in_words}"


def test_more_windows_than_the_kernel_keeps_are_a_mistake_of_the_rule_that_adds_them() -> None:
    first = " + ".join(f"trades({seconds}s)" for seconds in range(1, WINDOWS_MAX + 1))
    fits = f"rules:\n  a: {{level: danger, when: {first} > 3}}\n"
    assert check_text(fits) == ()
    (problem,) = check_text(fits + "  b: {level: danger, when: trades(1h) > 3}\n")
    assert (problem.id, problem.line) == ("E010", 3)
    assert "17 different windows, at most 16" in problem.message


def test_every_field_and_feature_that_compiles_can_be_kept_and_read() -> None:
    for declared in (*KERNEL_FIELDS, *KERNEL_CATALOGUE):
        samples = [
            argument.choices or ({"duration": "60s", "ratio": "20bp", "number": "1000"}[argument.type],)
            for argument in declared.arguments
        ]
        for values in product(*samples):
            written = ", ".join(f"{argument.name}={value}" for argument, value in zip(declared.arguments, values, strict=True))
            when = f"known({declared.name}({written}))"
            program = compile_rules(rules_from_text(f"rules:\n  a: {{level: danger, when: '{when}'}}", Report()))
            engine = Engine(program)
            engine.evaluate(engine.open(MarketFacts(Market("x", "A/USDT"))), 1)


def check_text(text: str) -> tuple[Problem, ...]:
    report = Report()
    compiled(rules_from_text(text, report), report)
    return report.problems


MEANING = """
lists: {majors: [BTC/USDT], minors: [A/USDT]}
macros: {quiet: trades(10s) < 2, calm: quiet and market.symbol in $minors, spare: trades(10s) > 9}
rules:
  one: {title: One, when: calm, level: warning, actions: {warning: [alert]}}
  two: {when: market.symbol in $majors, level: warning}
"""


@pytest.mark.parametrize(
    ("old", "new", "changed", "decided"),
    [
        ("[BTC/USDT]", "[BTC/USDT, ETH/USDT]", {"two"}, {"two"}),
        ("[A/USDT]", "[A/USDT, B/USDT]", {"one"}, {"one"}),
        ("trades(10s) < 2", "trades(10s) < 3", {"one"}, {"one"}),
        ("trades(10s) > 9", "trades(10s) > 8", set(), set()),
        ("title: One", "title: Two", {"one"}, set()),
        ("[alert]", "[{quarantine: {for: 1m}}]", {"one"}, set()),
        ("one: {title", "one: {mode: enforce, title", {"one"}, set()),
        ("one: {title", "one: {for: 1s, title", {"one"}, {"one"}),
        ("one: {title", "one: {scope: {symbol: A/USDT}, title", {"one"}, {"one"}),
        ("rules:", "# a comment\nrules:", set(), set()),
    ],
)
def test_a_rules_hashes_change_with_what_it_means_and_with_what_decides_its_level(
    old: str, new: str, changed: set[str], decided: set[str]
) -> None:
    def hashes(text: str) -> dict[str, tuple[str, str]]:
        report = Report()
        rules = rules_from_text(text, report)
        assert not report.errors, report.errors
        return {rule.id: (rule.hash, rule.level_hash) for rule in rules.rules}

    assert old in MEANING
    before, after = hashes(MEANING), hashes(MEANING.replace(old, new))
    assert {name for name in before if before[name][0] != after[name][0]} == changed
    assert {name for name in before if before[name][1] != after[name][1]} == decided
