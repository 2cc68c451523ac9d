from __future__ import annotations

import errno
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli.test_run import Running, environment, until

from guard.cli.main import main
from guard.client import Guard
from guard.client.clock import pause
from guard.dsl import load_guard, load_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = """\
rules:
  busy: {mode: shadow, when: trades(10s) >= 3, level: danger, actions: {danger: [alert, {quarantine: {for: 5m}}]}}
  quiet: {mode: alert, when: trades(10s) < 1, level: warning, actions: {}}
"""
CONFIG = """\
version: 1
mode: enforce

# Mine.
rules: [rules/*.yaml]

# No keys are needed.
exchanges: {sim: {connector: sim}}
alerts: {channels: {people: {url: "json://127.0.0.1:9/people"}}}
"""
T0_MS = 1_536_334_200_000


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GUARD_")]:
        monkeypatch.delenv(name)
    Path("rules").mkdir()
    Path("rules/own.yaml").write_text(RULES)
    Path("guard.yaml").write_text(CONFIG)
    return tmp_path / "guard.yaml"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["rules", "promote", *words])
    told = capsys.readouterr()
    return int(caught.value.code or 0), told.out, told.err


def modes() -> dict[str, str]:
    return {rule.id: str(rule.spec.mode) for rule in load_rules(load_guard("guard.yaml", {})).rules if rule.spec}


def test_a_step_is_written_as_an_override_and_the_rest_stays(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.chmod(0o640)
    code, out, _ = run(capsys, "busy", "--yes")
    assert code == 0
    assert out.splitlines()[0] == "busy (rules/own.yaml:2): shadow -> alert"
    assert "nothing is known of its past: there is no ledger" in out
    assert out.splitlines()[-1] == "wrote guard.yaml; a running guard takes it over within seconds"
    added = "rules: [rules/*.yaml]\n\noverride:\n  busy: {mode: alert}\n"
    assert config.read_text() == CONFIG.replace("rules: [rules/*.yaml]\n", added)
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert modes() == {"busy": "alert", "quiet": "alert"}
    assert run(capsys, "busy", "--yes")[0] == 0
    assert modes()["busy"] == "enforce"
    assert sorted(path.name for path in Path().iterdir()) == ["guard.yaml", "rules"]


def test_without_a_yes_nobody_is_asked_where_nobody_answers(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "busy")
    assert code == 2
    assert "busy (rules/own.yaml:2): shadow -> alert" in out
    assert err.endswith("add --yes, or write into guard.yaml, line 6:\n\n  override:\n    busy: {mode: alert}\n")
    assert config.read_text() == CONFIG


@pytest.mark.parametrize(("answer", "code", "mode"), [("y", 0, "alert"), ("n", 1, "shadow"), ("", 1, "shadow")])
def test_a_person_at_a_terminal_is_asked(answer: str, code: int, mode: str) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "guard", "rules", "promote", "busy"]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment()) as process:
        os.close(theirs)
        shown = b""
        while b"write this into guard.yaml? [y/N]" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, f"{answer}\n".encode())
        assert process.wait(20) == code
    os.close(ours)
    assert modes()["busy"] == mode


def test_json_is_one_document_with_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "busy", "--to", "enforce", "--json")
    document = json.loads(out)
    assert (code, document["exit"], document["schema"], document["written"]) == (2, 2, 1, False)
    assert (document["from"], document["to"]) == ("shadow", "enforce")
    assert document["edit"] == {
        "file": "guard.yaml", "line": 6, "removed": [], "added": ["", "override:", "  busy: {mode: enforce}"],
    }  # fmt: skip
    assert any("skips mode alert" in note for note in document["notes"])
    code, out, _ = run(capsys, "busy", "--to", "enforce", "--json", "--yes")
    assert (code, json.loads(out)["written"]) == (0, True)


def test_recordings_tell_what_it_would_have_blocked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for part in range(2):
        rows = [f"AST/BTC,{T0_MS + 1000 * at},buy,{1 + at % 3},1" for at in range(part * 100, part * 100 + 100)]
        names.append(str(tmp_path / f"{part}.csv"))
        Path(names[-1]).write_text("\n".join(["symbol,timestamp,side,price,amount", *rows]))
    code, out, _ = run(capsys, "busy", "--tape", *names, "--exchange", "binance")
    assert code == 2
    assert "recordings, 200 events on 1 market: enforced alone it would have opened 1 quarantine, 3.1 minutes blocked" in out
    assert "it looks at" not in out
    document = json.loads(run(capsys, "busy", "--tape", names[0], "--json")[1])
    assert document["tape"]["quarantines"] == document["tape"]["judged"] == 1
    # The same as a replay of the rule as it would be.
    Path("raised").mkdir()
    Path("raised/own.yaml").write_text(RULES.splitlines()[0] + "\n" + RULES.splitlines()[1].replace("shadow", "enforce"))
    with pytest.raises(SystemExit):
        main(["--json", "replay", names[0], "--rules", "raised"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["digest"] == document["tape"]["digest"]


def test_recordings_without_the_streams_that_it_needs_prove_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules/own.yaml").write_text(
        "rules:\n  thin: {risk: {a: {weight: 1, value: 'ramp(spread(), 1%, 2%)'}}, actions: {danger: [quarantine]}}\n"
    )
    rows = [f"AST/BTC,{T0_MS + 1000 * at},buy,{1 + at % 3},1" for at in range(100)]
    (tmp_path / "tape.csv").write_text("\n".join(["symbol,timestamp,side,price,amount", *rows]))
    out = run(capsys, "thin", "--tape", str(tmp_path / "tape.csv"))[1]
    assert "it looks at 0 of the 1 market only" in out


@pytest.mark.parametrize(
    ("ceiling", "words", "note"),
    [
        ("observe", ["busy"], "mode: observe in guard.yaml is the ceiling"),
        ("observe", ["busy", "--to", "enforce"], "nobody is told and nothing is refused"),
        ("alert", ["busy", "--to", "enforce"], "mode: alert in guard.yaml is the ceiling"),
        ("enforce", ["quiet"], "no level of the rule has the action quarantine: it will refuse nothing"),
    ],
)
def test_what_makes_the_mode_ineffective_is_said(
    ceiling: str, words: list[str], note: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("mode: enforce", f"mode: {ceiling}"))
    assert note in run(capsys, *words)[1]
    config.write_text(CONFIG)
    assert "is the ceiling" not in run(capsys, *words)[1]


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["bussy"], 1, "guard.yaml names no rule 'bussy'; did you mean busy?"),
        (["quiet", "--to", "alert"], 1, "promote only raises. To lower it write override: {quiet: {mode: alert}}"),
        (["busy", "--to", "shadow"], 2, "'shadow' is not one of 'alert', 'enforce'"),
        (["busy", "guard.yaml"], 2, "recordings go after --tape"),
        (["busy", "--tape", "guard.yaml"], 3, "guard.yaml"),
        (["busy", "--since", "7"], 2, "a duration is written"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    words: list[str], code: int, hint: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, *words, "--yes")
    assert (found, hint in out + err) == (code, True), out + err
    assert config.read_text() == CONFIG


def test_the_highest_mode_is_the_highest(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(capsys, "busy", "--yes")[0] == 0
    code, _, err = run(capsys, "busy", "--yes")
    assert (code, err) == (1, "busy is in mode enforce already, the highest\n")


def test_a_disabled_rule_goes_into_the_shadow_first(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules/own.yaml").write_text(RULES.replace("mode: shadow", "mode: disabled"))
    assert run(capsys, "busy", "--yes")[0] == 0
    assert modes()["busy"] == "shadow"


def test_an_override_that_something_else_wins_over_is_refused_with_the_lines(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_OVERRIDE__BUSY__MODE", "shadow")
    code, _, err = run(capsys, "busy", "--yes")
    assert code == 1
    assert "guard.yaml is not changed: the rule busy would not be what was asked for" in err
    assert err.endswith("Put this into it:\n\noverride:\n  busy: {mode: alert}\n\n")
    assert config.read_text() == CONFIG


def test_a_symlink_stays_one_and_what_it_leads_to_is_changed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("real").mkdir()
    config.rename("real/mine.yaml")
    config.symlink_to("real/mine.yaml")
    assert run(capsys, "busy", "--yes")[0] == 0
    assert config.is_symlink()
    assert "busy: {mode: alert}" in Path("real/mine.yaml").read_text()
    assert [path.name for path in Path("real").iterdir()] == ["mine.yaml"]


def test_a_byte_order_mark_and_other_line_ends_stay(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_bytes(b"\xef\xbb\xbf" + CONFIG.replace("\n", "\r\n").encode())
    assert run(capsys, "busy", "--yes")[0] == 0
    content = config.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfversion")
    assert content.count(b"\n") == content.count(b"\r\n") == CONFIG.count("\n") + 3
    assert modes()["busy"] == "alert"


def test_a_file_that_changed_meanwhile_is_left_alone(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = CONFIG + "# mine\n"
    monkeypatch.setattr("guard.cli.rules_promote._show", lambda *_: config.write_text(theirs))
    code, _, err = run(capsys, "busy", "--yes")
    assert (code, err) == (1, "guard.yaml was changed by somebody else meanwhile: look at it, and try again\n")
    assert config.read_text() == theirs


def test_a_file_that_cannot_be_replaced_is_told_with_the_lines(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        # What a single file gives that is mounted into a container.
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    code, _, err = run(capsys, "busy", "--yes")
    assert code == 1
    assert err.startswith("guard.yaml cannot be replaced: Device or resource busy. Change its line 6 by hand:")
    assert "  busy: {mode: alert}\n" in err
    assert config.read_text() == CONFIG
    assert sorted(path.name for path in Path().iterdir()) == ["guard.yaml", "rules"]


def test_broken_rules_are_told_first(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules/own.yaml").write_text(RULES.replace("trades(10s) < 1", "tradez(10s) < 1"))
    code, _, err = run(capsys, "busy", "--yes")
    assert code == 3
    assert "rules/own.yaml:3:" in err
    assert config.read_text() == CONFIG


@pytest.fixture
def running(config: Path) -> Iterator[Running]:
    text = CONFIG.replace("{connector: sim}", "{connector: sim, options: {seed: 7, symbols: [BTC/USDT], schedule: [], bot: false}}")
    config.write_text(text)
    running = Running(config.parent, subprocess.DEVNULL)
    yield running
    running.stop()


def test_a_running_guard_is_asked_and_takes_the_promotion_over(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = {}

    def has_fired() -> bool:
        found.update(json.loads(run(capsys, "busy", "--to", "enforce", "--json")[1])["ledger"])
        return bool(found.get("quarantines"))

    until(running.is_streaming, within_s=60)
    for _ in range(60):
        if has_fired():
            break
        pause(0.5)
    assert (found["episodes"], found["told"], found["quarantines"], found["targets"]) == (1, 1, 1, ["sim:BTC/USDT"])
    assert (found["minutes"], found["complete"], found["latest"][0]["level"]) == (5.0, True, "danger")
    assert found["uptime_s"] > 0
    bot = Guard(".guard")
    assert bot.check("sim", "BTC/USDT", "buy").permitted
    assert "enforced, 1 quarantine on 1 target, 5.0 minutes at the least" in run(capsys, "busy", "--to", "enforce", "--yes")[1]
    until(lambda: running.ask("why", market="sim:BTC/USDT")["rules"][0]["mode"] == "enforce", within_s=10)
