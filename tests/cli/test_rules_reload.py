"""guard rules reload against a guard that runs, and what a hangup, a file and a failing test do."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest
from cli.test_run import CONFIG, RULE, Running, folder_of, guard, until
from runtime.test_trial import RULE as FALL
from runtime.test_trial import TESTS

from guard.runtime.lines import DecisionLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MORE = "  calm: {mode: shadow, when: trades(10s) < 0, level: warning}\n"
BROKEN = RULE.replace("trades(", "tradez(")
TESTED = FALL + TESTS


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a guard that reads its rules only when it is told to."""
    folder = folder_of(tmp_path_factory.mktemp("reload"))
    (folder / "guard.yaml").write_text(CONFIG.replace("INBOX", "") + "reload: {watch: off}\n")
    with (folder / "out").open("w") as out:
        running = Running(folder, out.fileno())
        until(lambda: (folder / ".guard" / "guard.sock").exists() or running.is_streaming())
        until(running.is_streaming)
        yield running
        assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


@pytest.fixture
def own(running: Running) -> Iterator[Path]:
    own = running.folder / "rules" / "own.yaml"
    own.write_text(RULE)
    running.ask("reload")
    yield own
    own.write_text(RULE)
    (running.folder / "guard.yaml").write_text(CONFIG.replace("INBOX", "") + "reload: {watch: off}\n")
    running.ask("reload")


def test_rules_that_changed_are_taken_over_and_named(running: Running, own: Path) -> None:
    own.write_text(RULE.replace("100000", "100001") + MORE)
    code, out, _ = guard(running.folder, "rules", "reload")
    assert code == 0
    assert out.splitlines()[:2] == ["  + calm", "  ~ busy"]
    assert out.splitlines()[2].startswith("taken over: 2 rules run now (ledger entry ")
    own.write_text(MORE.replace("  calm", "rules:\n  calm"))
    code, out, _ = guard(running.folder, "--json", "rules", "reload")
    document = json.loads(out)
    assert (code, document["schema"], document["outcome"]) == (0, 1, "taken_over")
    assert (document["removed"], document["changed"], document["active"]) == (["busy"], [], 1)


def test_rules_that_did_not_change_are_said_to_run_on(running: Running, own: Path) -> None:
    own.write_text("# a comment changes nothing\n" + RULE)
    code, out, _ = guard(running.folder, "rules", "reload")
    assert code == 0
    assert re.fullmatch(r"nothing new: 1 rule run as since \d\d:\d\d:\d\dZ\n", out)


def test_broken_rules_are_told_with_their_place_and_the_last_good_ones_run(running: Running, own: Path) -> None:
    own.write_text(BROKEN + MORE.replace("trades(", "trade("))
    code, out, _ = guard(running.folder, "rules", "reload")
    assert code == 1
    assert "rules/own.yaml:2:30: error[E042 unknown-name]" in out
    assert out.endswith("not taken over: 2 mistakes; the last good rules run on, 1 rule of them\n")
    code, out, _ = guard(running.folder, "rules", "reload", "--json")
    document = json.loads(out)
    assert (code, document["outcome"], [problem["line"] for problem in document["errors"]]) == (1, "broken", [2, 3])
    status = json.loads(guard(running.folder, "--json", "status")[1])["rules"]
    assert (status["watch"], [problem["id"] for problem in status["errors"]]) == ("off", ["E042", "E042"])
    assert status["reloads"]["broken"] == 2
    assert status["reloads"]["last"]["outcome"] == "broken"
    assert "own.yaml:2" in guard(running.folder, "doctor")[1]


def messages(running: Running) -> int:
    return sum(running.ask("alerts.outbox")["channels"].get("people", {}).values())


def test_people_are_told_when_rules_break_when_they_break_otherwise_and_when_they_are_mended(running: Running, own: Path) -> None:
    before = messages(running)
    for text, told in (
        (BROKEN, 1),
        (BROKEN, 1),
        (BROKEN + "#\n", 1),
        (BROKEN.replace("tradez", "tradey"), 2),
        (RULE, 3),
        (RULE, 3),
    ):
        own.write_text(text)
        running.ask("reload")
        assert messages(running) - before == told, text


def test_a_hangup_reads_the_rules(running: Running, own: Path) -> None:
    own.write_text(RULE + MORE)
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.ask("status")["rules"]["active"] == 2)


def test_rules_with_failing_tests_are_refused_where_tests_are_required(running: Running, own: Path) -> None:
    config = running.folder / "guard.yaml"
    config.write_text(CONFIG.replace("INBOX", "") + "reload: {watch: off, require_tests: true}\n")
    own.write_text(RULE + MORE)
    code, out, _ = guard(running.folder, "rules", "reload")
    assert code == 1
    assert "E090" in out
    assert (
        "own.yaml:2:1: error[E090 untested-rule]: the rule busy has no test that makes it fire and none that keeps it silent" in out
    )
    own.write_text(TESTED.replace("< -2%", "< -50%"))
    code, out, _ = guard(running.folder, "rules", "reload")
    assert code == 1
    assert "own.yaml:14:9:" in out
    assert "the test falls of the rule fast_fall fails: expected danger or worse and blocked by 50s" in out
    own.write_text(TESTED.replace("  stays:", "  falls_again:").replace("[{never: warning}]", "[{at: 1s, level: normal}]"))
    code, out, _ = guard(running.folder, "rules", "reload")
    assert "the rule fast_fall has no test that keeps it silent" in out
    own.write_text(TESTED.replace("mode: enforce", "mode: shadow"))
    code, out, _ = guard(running.folder, "rules", "reload")
    assert code == 0, f"a rule in a lower mode is not broken: {out}"
    assert out.startswith("  + fast_fall\n  - busy\ntaken over: 1 rule run")


def test_a_live_run_that_was_recorded_with_its_reloads_is_replayed_to_the_same_decisions(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    folder = folder_of(tmp_path)
    busy = "rules:\n  busy: {mode: shadow, when: trades(5s) >= 1, level: warning, for: 1s, clear: {when: trades(5s) < 1}}\n"
    (folder / "rules" / "own.yaml").write_text(busy)
    (folder / "guard.yaml").write_text(CONFIG.replace("INBOX", "") + "reload: {watch: off}\n")
    with (folder / "out").open("w") as out:
        running = Running(folder, out.fileno(), "--json", "--record", "run.parquet")
        until(running.is_streaming)
        until(lambda: "verdict" in (folder / "out").read_text())
        (folder / "rules" / "own.yaml").write_text(busy.replace("shadow", "enforce, actions: {warning: [{quarantine: {for: 1m}}]}"))
        assert running.ask("reload")["outcome"] == "taken_over"
        until(lambda: running.ask("quarantine.ls")["quarantines"])
        (folder / "rules" / "own.yaml").write_text(busy.replace("5s", "3s"))
        assert running.ask("reload")["unattended"]
        running.ask("quarantine.release", target="sim:BTC/USDT", reason="checked")
        assert running.stop() == 0
    log, lines = DecisionLog(), [json.loads(line) for line in (folder / "out").read_text().splitlines()]
    for line in lines:
        if line["type"] in {"verdict", "quarantine"}:
            log.write(line)
    assert {"rule", "rule_gone", "operator"} <= {line.get("cause") for line in lines}
    code, shown, errors = guard(folder, "--json", "replay", "--as-recorded", "--no-jit", "run.parquet")
    assert code == 0, errors
    assert json.loads(shown.splitlines()[-1])["digest"] == log.digest


def test_without_a_guard_nobody_answers(tmp_path: Path) -> None:
    code, _, err = guard(tmp_path, "rules", "reload")
    assert code == 4
    assert "no live guard" in err
