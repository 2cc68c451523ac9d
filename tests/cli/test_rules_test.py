from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from guard.cli.main import main

PACK = """version: 1
rules:
  jump:
    level: danger
    when: ret(10s) > 2%
    mode: enforce
    actions: {danger: [quarantine]}
"""
TESTS = """version: 1
tests:
  rises:
    rule: jump
    warm: {live: 60s, history: 0s}
    feed: [{at: 5s, price: "100 -> 105 over 5s", trades: 5/s, side: buy}]
    expect: [{by: 12s, level: danger, blocked: true}]
  calm:
    rule: jump
    warm: {live: 60s, history: 0s}
    expect: [{never: warning}]
"""


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(["rules", "test", *words])
    told = capsys.readouterr()
    return int(caught.value.code or 0), told.out + told.err


def written(pack: str = PACK, tests: str = TESTS, *, name: str = "pack") -> None:
    Path("rules").mkdir(exist_ok=True)
    Path(f"rules/{name}.yaml").write_text(pack)
    if tests:
        Path(f"rules/{name}.test.yaml").write_text(tests)


@pytest.mark.parametrize("path", ["rules", "rules/pack.yaml", "rules/pack.test.yaml", "rules/*.yaml", "r*"])
def test_sound_tests_end_with_one_line_and_zero(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    written()
    code, out = run(capsys, path)
    assert code == 0
    assert out == "2 tests: 2 passed; 1 of 1 rules have a test that fires and one that stays silent\n"


def test_a_difference_is_shown_with_its_place_and_what_surrounds_it(capsys: pytest.CaptureFixture[str]) -> None:
    written(tests=TESTS.replace("by: 12s", "by: 6s"))
    code, out = run(capsys, "rules")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "rules/pack.test.yaml:3:3: rises failed (rule jump)"
    assert lines[1] == "  7:14: expected danger or worse and blocked by 6s"
    assert "found    normal, not blocked" in lines[2]
    assert "so only" in lines[2]
    assert "   6.00s  normal    score" in out
    assert "-> jump sim:TEST/USDT: quarantined (rule)" in out
    assert "calm" not in out
    assert lines[-1].startswith("2 tests: 1 passed, 1 failed; ")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("mode: enforce", "mode: shadow", "jump is in mode shadow and blocks nothing"),
        ("mode: enforce", "mode: alert", "jump is in mode alert and blocks nothing"),
        ("danger: [quarantine]", "danger: [alert]", "jump has no quarantine among its actions"),
    ],
)
def test_a_rule_that_can_never_block_says_why_a_block_was_missed(
    old: str, new: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(pack=PACK.replace(old, new))
    code, out = run(capsys, "rules")
    assert code == 1
    assert told in out
    written(tests=TESTS.replace("by: 12s", "by: 6s"))
    assert "blocks nothing" not in run(capsys, "rules")[1]


@pytest.mark.parametrize("path", ["nowhere", "rules/*.nothing", "empty"])
def test_a_path_that_matches_no_test_fails(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    written()
    Path("empty").mkdir()
    code, out = run(capsys, "rules", path)
    assert code == 1
    assert f"no test matches {path!r}" in out
    assert ("there is no such file" in out) is (path != "empty")


def test_a_pack_without_tests_fails(capsys: pytest.CaptureFixture[str]) -> None:
    written(tests="")
    assert run(capsys, "rules")[0] == 1


@pytest.mark.parametrize(("kept", "lacking"), [("rises", "keeps it silent"), ("calm", "makes it fire")])
def test_a_rule_without_either_kind_of_test_fails(kept: str, lacking: str, capsys: pytest.CaptureFixture[str]) -> None:
    head, rises, calm = TESTS.partition("  rises:")[0], *("  rises:" + TESTS.partition("  rises:")[2]).split("  calm:")
    written(tests=head + (rises if kept == "rises" else "  calm:" + calm))
    code, out = run(capsys, "rules")
    assert code == 1
    assert f"rules/pack.yaml:3: the rule jump has no test that {lacking}" in out
    assert "1 tests: 1 passed; 0 of 1 rules" in out


def test_a_disabled_rule_needs_no_test(capsys: pytest.CaptureFixture[str]) -> None:
    written()
    Path("rules/off.yaml").write_text(PACK.replace("jump", "off").replace("enforce", "disabled"))
    assert run(capsys, "rules")[0] == 0


def test_inline_tests_count_as_those_beside(capsys: pytest.CaptureFixture[str]) -> None:
    written(pack=PACK + TESTS.removeprefix("version: 1\n"), tests="")
    code, out = run(capsys, "rules/pack.yaml")
    assert (code, out[:18]) == (0, "2 tests: 2 passed;")


def test_a_file_of_tests_without_a_pack_is_tried_on_its_neighbours_and_answers_for_none(capsys: pytest.CaptureFixture[str]) -> None:
    written(tests="")
    Path("rules/mine.test.yaml").write_text(TESTS.partition("  calm:")[0])
    code, out = run(capsys, "rules/mine.test.yaml")
    assert code == 0
    assert out.startswith("1 tests: 1 passed; 0 of 0 rules")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("rule: jump\n    warm: {live: 60s, history: 0s}\n    feed", "rule: jmp\n    feed", "4:11: error[E027 unknown-rule]"),
        ("by: 12s", "by: 12", "7:19: error[E025 wrong-value]: a duration needs its unit"),
        ("feed:", "fed:", "6:5: error[E020 unknown-key]: unknown key 'fed'"),
        ('"100 -> 105 over 5s"', '"100 -> 105 over"', "6:28: error[E025 wrong-value]"),
        ("{by: 12s", '{by: "2018-09-07T15:30Z"', "7:14: error[E025 wrong-value]: this moment is not in the test, which lasts 60s"),
        (
            "rule: jump",
            "rule: jump\n    length: 11s",
            "8:14: error[E025 wrong-value]: this moment is not in the test, which lasts 11s",
        ),
        ("trades: 5/s", "trades: 900/s, over: 20h", "6:11: error[E025 wrong-value]: about"),
    ],
)
def test_a_broken_test_file_fails_with_the_place(old: str, new: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    written(tests=TESTS.replace(old, new, 1))
    code, out = run(capsys, "rules")
    assert code == 1
    assert f"rules/pack.test.yaml:{problem}" in out


def test_broken_rules_fail_with_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    written(pack=PACK.replace("ret(10s)", "retn(10s)"))
    code, out = run(capsys, "rules")
    assert code == 1
    assert "rules/pack.yaml:5:11: error[E042 unknown-name]" in out


def test_json_is_one_document_with_every_test(capsys: pytest.CaptureFixture[str]) -> None:
    written(tests=TESTS.replace("by: 12s", "by: 6s"))
    code, out = run(capsys, "rules", "--json")
    document: dict[str, Any] = json.loads(out)
    assert code == 1
    assert document["schema"] == 1
    assert (document["passed"], document["failed"], document["errors"]) == (1, 1, [])
    assert [(test["test"], test["passed"]) for test in document["tests"]] == [("rises", False), ("calm", True)]
    (miss,) = document["tests"][0]["misses"]
    assert (miss["line"], miss["column"]) == (7, 14)
    assert {"level", "score", "factors", "blocked"} <= miss["around"][0].keys()
    assert document["coverage"][0]["complete"] is True


def test_without_paths_the_packs_of_guard_yaml_are_tested_with_their_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    written()
    Path("guard.yaml").write_text("version: 1\nmode: observe\nrules: [rules/*.yaml]\nexchanges: {sim: {connector: sim}}\n")
    assert run(capsys)[0] == 0
    with Path("guard.yaml").open("a") as config:
        config.write("override: {jump: {mode: alert}}\n")
    code, out = run(capsys)
    assert code == 1
    assert "expected danger or worse and blocked by 12s" in out


def test_the_shipped_packs_pass_their_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert not os.path.lexists("guard.yaml")
    code, out = run(capsys)
    assert code == 0, out
    assert "5 of 5 rules have a test that fires and one that stays silent" in out


def test_a_pack_is_tested_with_what_it_includes(capsys: pytest.CaptureFixture[str]) -> None:
    written(name="part")
    Path("rules/main.yaml").write_text("include: part.yaml\n")
    for path in ("rules/main.yaml", "rules"):
        code, out = run(capsys, path)
        assert (code, out.partition(";")[0]) == (0, "2 tests: 2 passed")
    Path("rules/part.test.yaml").unlink()
    assert run(capsys, "rules/main.yaml")[0] == 1
    Path("rules/main.test.yaml").write_text(TESTS.partition("  calm")[0])
    code, out = run(capsys, "rules/main.yaml")
    assert code == 1
    assert "rules/part.yaml:3: the rule jump has no test that keeps it silent" in out


def test_a_pack_of_nothing_but_includes_has_its_own_tests_played(capsys: pytest.CaptureFixture[str]) -> None:
    written(name="part", tests="")
    Path("rules/main.yaml").write_text("include: part.yaml\n" + TESTS.partition("\n")[2])
    Path("guard.yaml").write_text("version: 1\nrules: [rules/main.yaml]\nexchanges: {sim: {connector: sim}}\n")
    for words in ([], ["rules/main.yaml"]):
        code, out = run(capsys, *words)
        assert (code, out.partition(";")[0]) == (0, "2 tests: 2 passed")


CLAUSES = """version: 1
rules:
  jump:
    mode: enforce
    let: {up: ret(10s)}
    when: up > 2% and trades(10s) >= 0
    unless: {majors: "market.symbol in [BTC/USDT]"}
    risk:
      price_volatility: {weight: 1, value: "ramp(up, 1%, 2%)"}
      volume_anomaly: {weight: 1, value: "0 * up", optional: true}
    clear: {when: score < 0.5, for: 1h}
    actions: {danger: [{quarantine: {for: 5m, release: {when: known(up), for: 1m}}}]}
"""
UNSEEN = [
    "jump: when: trades(10s) >= 0 was never false",
    "jump: unless.majors: market.symbol in [BTC/USDT] was never true",
    "jump: risk.volume_anomaly: 0 * up was never above 0",
    "jump: actions.danger.release.when: known(up) was never false",
]


def test_clauses_that_were_seen_one_way_only_are_listed_and_fail_where_that_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    written(CLAUSES, TESTS.replace("by: 12s", "by: 12s, after: 5s"))
    code, out = run(capsys, "rules")
    assert code == 0
    told = [line.strip() for line in out.splitlines()]
    assert told[1] == "clauses that the tests did not see both ways (--strict makes them fail):"
    assert told[2:] == UNSEEN
    assert run(capsys, "rules", "--strict")[0] == 1
    code, out = run(capsys, "rules", "--json")
    document = json.loads(out)
    rows = {row["where"]: row for row in document["clauses"] if row["where"] != "when"}
    assert (rows["unless.majors"]["times_true"], rows["unless.majors"]["lack"]) == (0, "was never true")
    assert rows["risk.price_volatility"]["lack"] is None
    assert rows["unless.majors"]["times_false"] > 60


def test_a_clause_of_a_rule_without_tests_was_never_decided(capsys: pytest.CaptureFixture[str]) -> None:
    written(PACK + "  other: {level: warning, when: ret(10s) > 9%}\n")
    code, out = run(capsys, "rules")
    assert code == 1
    assert "  other: when: ret(10s) > 9% was never decided\n" in out


def test_chosen_tests_run_alone_and_nothing_is_said_of_what_is_not_tested(capsys: pytest.CaptureFixture[str]) -> None:
    written(CLAUSES)
    code, out = run(capsys, "rules", "-k", "cal")
    assert (code, out) == (0, "1 tests: 1 passed; chosen by cal, so nothing is said of what is not tested\n")
    assert run(capsys, "rules", "--only", "r*s", "--only", "calm")[1].startswith("2 tests: 2 passed; chosen by r*s, calm")
    code, out = run(capsys, "rules", "-k", "risess")
    assert (code, out) == (1, "no test is named like 'risess'; did you mean rises?\n")


def test_results_do_not_depend_on_how_many_processes_share_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    more = "".join(
        f"  calm{number}: {{rule: jump, warm: {{live: 60s, history: 0s}}, expect: [{{never: warning}}]}}\n" for number in range(4)
    )
    broken = TESTS.replace("danger, blocked: true", "critical").replace("100 -> 105", "90 -> 105") + more
    written(
        tests=broken
        + '  unplayable: {rule: jump, feed: [{at: 1s, price: "5 -> 6"}, {at: 2s, price: "9 -> 1"}], expect: [{never: warning}]}\n'
    )
    told = []
    for jobs in ("1", "3"):
        code, out = run(capsys, "rules", "--jobs", jobs, "--json")
        document = json.loads(out)
        for record in document["tests"]:
            assert record.pop("took_s") >= 0.0
        told.append((code, document))
    assert told[0] == told[1]
    assert (told[0][0], told[0][1]["passed"], told[0][1]["failed"], len(told[0][1]["errors"])) == (1, 5, 1, 1)


def test_results_are_written_as_junit(capsys: pytest.CaptureFixture[str]) -> None:
    written(
        PACK + "  other: {level: warning, when: 'ret(10s) > 9%'}\n",
        TESTS.replace("level: danger, blocked: true", "level: critical"),
    )
    assert run(capsys, "rules", "--junit", "out.xml")[0] == 1
    # Made by guard itself a moment ago.
    root = ET.parse("out.xml").getroot()  # noqa: S314 - see above
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert set(cases) == {("jump", "rises"), ("jump", "calm"), ("other", "tests")}
    failure = cases["jump", "rises"].find("failure")
    assert failure is not None
    assert "expected critical by 12s" in str(failure.get("message"))
    assert cases["jump", "calm"].find("failure") is None
    assert [suite.get("failures") for suite in root.iter("testsuite")] == ["1", "1"]
    code, out = run(capsys, "rules", "--junit", "no/such/folder/out.xml")
    assert code == 2
    assert "cannot be written: No such file or directory" in out


NEAR = """version: 1
rules:
  jump:
    mode: enforce
    when: ret(10s) > 3% and trades(10s) >= 30
    risk: {price_volatility: {weight: 1, value: "ramp(ret(10s), 0, 10%)"}}
    for: 3s
    actions: {danger: [quarantine]}
tests:
  one:
    rule: jump
    features: {ret(10s): "0x5 SERIES 0", trades(10s): COUNT}
    expect: [{by: 12s, level: danger}]
"""


@pytest.mark.parametrize(
    ("series", "count", "missing"),
    [
        ("5%x4", "29", "trades(10s) >= 30 (trades(10s) is 29); score >= 0.6 (is 0.50) (nearest, at 6s)"),
        ("2%x4", "40", "ret(10s) > 3% (ret(10s) is 2%); score >= 0.6 (is 0.20) (nearest, at 6s)"),
        ("7%x4", "40", "score >= 0.8 (is 0.70) (nearest, at 6s)"),
        ("8.5% 8.5%", "40", "danger has to hold for 3 s (nearest, at 6s)"),
        ("7%x4", "_", "trades(10s) >= 30 (trades(10s) is unknown: its data is missing) (nearest, at 6s)"),
    ],
)
def test_a_level_that_was_missed_tells_what_lacked_when_it_was_nearest(
    series: str, count: str, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(NEAR.replace("SERIES", series).replace("COUNT", count), "")
    code, out = run(capsys, "rules")
    assert code == 1
    assert f"missing  {missing}" in out, out
