"""The packs' tests before a reload: what they forbid, and what happens when they do not end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from runtime.test_rulebook import CONFIG, FACTS

from guard.runtime import trial
from guard.runtime.reloading import ReloadState
from guard.runtime.rulebook import Rulebook
from guard.runtime.trial import failing_tests, verdict_on

RULE = """\
rules:
  fast_fall:
    mode: enforce
    scope: {symbol: "*/USDT"}
    when: ret(60s) < -2%
    level: danger
    actions: {danger: [alert, {quarantine: {for: 15m}}]}
"""
TESTS = """\
tests:
  falls:
    rule: fast_fall
    feed:
      - {at: 10s, price: "100 -> 92 over 40s", trades: 8/s, side: sell, size: 8x, sweep: 3}
    expect:
      - {by: 50s, level: danger, blocked: true}
  stays:
    rule: fast_fall
    length: 1m
    expect: [{never: warning}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "guard.yaml").write_text(CONFIG + "reload: {require_tests: true}\n")
    (tmp_path / "rules" / "own.yaml").write_text(RULE)
    (tmp_path / "rules" / "own.test.yaml").write_text(TESTS)
    return tmp_path / "guard.yaml"


def edit(config: Path, old: str, new: str, file: str = "own.yaml") -> None:
    path = config.parent / "rules" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_sound_rules_with_passing_tests_are_forbidden_by_nothing(config: Path) -> None:
    assert verdict_on(config, {}) == ()


def test_a_failing_test_is_named_with_its_place(config: Path) -> None:
    edit(config, "-2%", "-50%")
    (problem,) = verdict_on(config, {})
    assert (problem.id, problem.file.endswith("own.test.yaml"), problem.line) == ("E091", True, 7)
    assert "the test falls of the rule fast_fall fails: expected danger or worse and blocked by 50s" in problem.message


@pytest.mark.parametrize("mode", ["shadow", "alert"])
def test_a_rule_in_a_lower_mode_is_tested_as_if_it_enforced(config: Path, mode: str) -> None:
    config.write_text(config.read_text() + f"override: {{fast_fall: {{mode: {mode}}}}}\n")
    assert verdict_on(config, {}) == ()
    edit(config, "-2%", "-50%")
    assert [problem.id for problem in verdict_on(config, {})] == ["E091"]


def test_a_rule_that_is_disabled_needs_no_test(config: Path) -> None:
    edit(config, "rules:\n", "rules:\n  spare: {mode: disabled, when: trades(10s) > 5, level: warning}\n")
    assert verdict_on(config, {}) == ()
    edit(config, "mode: disabled", "mode: shadow")
    (problem,) = verdict_on(config, {})
    assert (problem.id, problem.line) == ("E090", 2)
    assert "the rule spare has no test that makes it fire and none that keeps it silent" in problem.message


def test_a_mistake_in_a_test_file_forbids_too(config: Path) -> None:
    edit(config, "rule: fast_fall\n    length", "rule: fast_fal\n    length", "own.test.yaml")
    assert "E027" in [problem.id for problem in verdict_on(config, {})]


async def test_the_process_answers_what_it_would_answer_here(config: Path) -> None:
    edit(config, "-2%", "-50%")
    assert await failing_tests(config, {}) == verdict_on(config, {})


async def test_tests_that_take_too_long_forbid_the_rules_and_their_process_ends(config: Path) -> None:
    (problem,) = await failing_tests(config, {}, limit_s=0.05)
    assert problem.id == "E092"
    assert "took longer than 0.05 s" in problem.message
    assert children() == []


async def test_a_process_that_dies_forbids_the_rules_and_says_why(config: Path) -> None:
    (problem,) = await failing_tests(config, {"PYTHONHASHSEED": "nonsense"})
    assert problem.id == "E094"
    assert "PYTHONHASHSEED" in problem.message


async def test_a_guard_that_stops_takes_the_process_with_it(config: Path) -> None:
    task = asyncio.create_task(failing_tests(config, {}))
    async with asyncio.timeout(10):
        while not children():  # noqa: ASYNC110 - a process is waited for
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


def children() -> list[str]:
    """Return the processes of this one that play tests."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(os.getpid()) and trial.__name__ in (folder / "cmdline").read_text():
                found.append(folder.name)
        except OSError:
            continue
    return found


async def test_a_reload_waits_for_its_tests_and_a_mended_test_file_is_enough(config: Path, tmp_path: Path) -> None:
    book = Rulebook(config, {}, last_good=tmp_path / ".guard" / "last-good-rules")
    book.connect(facts=lambda: FACTS, changed=lambda _program, _problem: None)
    edit(config, "-2%", "-3%")
    edit(config, "100 -> 92", "100 -> 99", "own.test.yaml")
    before = book.program.hash
    outcome = await book.reload()
    assert (outcome.state, book.program.hash, [problem.id for problem in outcome.problems]) == (
        ReloadState.BROKEN,
        before,
        ["E091"],
    )
    assert book.look() == book.seen, "tests that failed are not played again before something changes"
    edit(config, "100 -> 99", "100 -> 92", "own.test.yaml")
    assert book.look() != book.seen
    assert (await book.reload()).state is ReloadState.TAKEN_OVER
    assert (await book.reload()).state is ReloadState.UNCHANGED
