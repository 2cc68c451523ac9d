from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli.test_run import Running, until

from guard.cli.main import main
from guard.dsl import load_guard, load_rules
from guard.runtime.shipped import Known, read_known, write_known
from guard.runtime.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
version: 1
mode: enforce
rules: [guard:pump_dump, guard:wash_trading]
exchanges: {sim: {connector: sim, options: {seed: 7, symbols: [BTC/USDT], schedule: [], bot: false}}}
"""
KEPT = Path(".guard/shipped-rules.json")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GUARD_")]:
        monkeypatch.delenv(name)
    Path("guard.yaml").write_text(CONFIG)
    return tmp_path / "guard.yaml"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(["rules", *words])
    told = capsys.readouterr()
    return int(caught.value.code or 0), told.out + told.err


def have_run(*, version: str = "0.0.9", **pump: Any) -> None:  # noqa: ANN401 - values of a rule
    """Let guard have run under an older version, in which pump_dump had some other values."""
    config = load_guard("guard.yaml", {})
    upgrade = Upgrade(KEPT)
    upgrade.take(config, load_rules(config))
    upgrade.keep()
    known = read_known(KEPT)
    for rules in known.values():
        for name, each in rules.items():
            rules[name] = each._replace(version=version, meaning={**each.meaning, **(pump if name == "pump_dump" else {})})
    write_known(KEPT, Known(known))
    KEPT.parent.chmod(0o700)


LEVELS = {"warning": 0.6, "danger": 0.85, "critical": 0.9}


def test_before_the_first_start_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "diff") == (0, "nothing is known of the shipped rules yet: guard run notes them when it starts\n")
    assert json.loads(run(capsys, "diff", "--json")[1])["known"] is False
    assert not KEPT.exists()


def test_without_a_difference_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    have_run()
    assert run(capsys, "diff") == (0, "the shipped rules are as they last ran\n")


def test_each_value_is_shown_and_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    from guard import __version__

    have_run(mode="alert", levels=LEVELS)
    code, out = run(capsys, "diff")
    assert code == 1
    assert out.splitlines() == [
        f"pump_dump (guard:pump_dump), guard 0.0.9 -> {__version__}",
        "  mode           alert -> enforce; held at alert",
        "  levels.danger  0.85 -> 0.8",
        "a mode that is held goes up by: guard rules promote RULE",
        "all else runs already; once you have seen it: guard rules diff --accept",
    ]
    document = json.loads(run(capsys, "diff", "--json")[1])
    assert (document["schema"], document["pending"]) == (1, 2)
    assert document["changes"][1]["text"] == f"pump_dump: levels.danger 0.85 -> 0.8 (guard 0.0.9 -> {__version__})"
    assert "pump_dump                ALERT " in run(capsys, "list")[1]
    out = run(capsys, "show", "pump_dump", "--resolved")[1]
    assert "mode: alert" in out
    assert "held down since an upgrade, see guard rules diff" in out

    code, out = run(capsys, "diff", "--accept")
    assert (code, out.splitlines()[0]) == (0, "accepted: the shipped rules are as they last ran; still held:")
    assert [change["kind"] for change in json.loads(run(capsys, "diff", "--json")[1])["changes"]] == ["held"]
    code, out = run(capsys, "promote", "pump_dump", "--yes")
    assert (code, out.splitlines()[0].rpartition(": ")[2]) == (0, "alert -> enforce")
    assert run(capsys, "diff") == (0, "the shipped rules are as they last ran\n")
    assert "pump_dump                ENFORCE " in run(capsys, "list")[1]


def test_a_damaged_file_is_told_and_accepting_leaves_it(capsys: pytest.CaptureFixture[str]) -> None:
    have_run()
    KEPT.write_text("{")
    code, out = run(capsys, "diff")
    assert (code, "is damaged" in out, "move it away" in out) == (1, True, True)
    assert run(capsys, "diff", "--accept")[0] == 1
    assert KEPT.read_text() == "{"


def _doctor(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(["doctor"])
    return capsys.readouterr().out


@pytest.fixture
def running(config: Path) -> Iterator[Running]:
    have_run(mode="alert", levels=LEVELS)
    running = Running(config.parent, subprocess.DEVNULL)
    yield running
    running.stop()


def test_a_running_guard_holds_the_mode_and_shows_what_changed_until_it_is_accepted(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    until(running.is_streaming, within_s=60)

    def mode() -> str:
        found = {told["rule"]: told["mode"] for told in running.ask("why", market="sim:BTC/USDT")["rules"]}
        return str(found.get("pump_dump"))

    assert running.ask("status")["upgrade"]["pending"] == 2
    assert mode() == "alert"
    assert "pump_dump: levels.danger 0.85 -> 0.8 (guard 0.0.9 -> " in running.log.read_text()
    with pytest.raises(SystemExit):
        main(["status", "--state", ".guard"])
    out = " ".join(capsys.readouterr().out.split())
    assert "an upgrade changed shipped rules: pump_dump: mode alert -> enforce, held at alert" in out
    told = _doctor(capsys)
    assert "LOOK  upgrade: pump_dump: mode alert -> enforce, held at alert" in told
    assert run(capsys, "diff", "--accept")[0] == 0
    assert "ok    upgrade: pump_dump: mode alert -> enforce, held at alert" in _doctor(capsys)
    assert [change["kind"] for change in running.ask("status")["upgrade"]["changes"]] == ["held"]
    assert run(capsys, "promote", "pump_dump", "--yes")[0] == 0
    until(lambda: mode() == "enforce")
    assert running.ask("status")["upgrade"] == {"pending": 0, "changes": [], "problem": None}
