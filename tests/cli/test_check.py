"""``guard check`` and ``guard bypass``: exit codes are an interface."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from client.images import MINUTE, image, quarantine, view

from guard.cli import main
from guard.client.clock import MACHINE
from guard.model import Image, IsolationState, Mode, TargetKind
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    (folder / "snapshot").mkdir(parents=True)
    monkeypatch.setenv("GUARD_STATE", str(folder))
    return folder


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    assert state

    def run_words(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run_words


def publish(state: Path, published: Image, *, live: bool = True) -> None:
    publisher = SnapshotPublisher(state / "snapshot", SystemClock())
    publisher.publish(published, epoch=1, seq=4, durable=True)
    if live:
        publisher.beat()


HELD = quarantine(until_us=MACHINE.wall_us() + 60 * MINUTE)
PROBATION = quarantine(until_us=MACHINE.wall_us() + 60 * MINUTE, state=IsolationState.PROBATION)
STALE = {"sim:X/USDT": view("stale")}
STRICT = {"*": {"not_watched": False, "warming": False}, "brave": {"guard_silent": True, "feed_stale": True}}
OBSERVED = image(HELD, mode=Mode.OBSERVE)


@pytest.mark.parametrize(
    ("published", "words", "live", "down"),
    [
        (None, "", None, 4),
        (None, "--fail-open", None, 0),
        (None, "--intent close", None, 0),
        (image(), "", 0, 4),
        (image(), "--fail-open", 0, 0),
        (image(), "--side sell", 0, 0),
        (image(HELD), "", 10, 10),
        (image(HELD), "--fail-open", 10, 10),
        (image(HELD), "--side buy --intent reduce", 0, 0),
        (image(PROBATION), "", 0, 4),
        (image(markets=STALE), "", 12, 4),
        (image(markets=STALE), "--fail-open", 0, 0),
        (image(markets=STALE, on_unknown=STRICT), "--bot brave", 0, 4),
        (image(markets={}), "", 0, 4),
        (image(markets={}, on_unknown=STRICT), "", 11, 4),
        (image(markets={"sim:X/USDT": view("warming")}, on_unknown=STRICT), "", 11, 4),
        (OBSERVED, "", 0, 0),
        (image(mode=Mode.ALERT, markets=STALE), "", 0, 0),
    ],
)
def test_exit_code_tells_what_a_script_may_do(
    run: Run, state: Path, published: Image | None, *, words: str, live: int | None, down: int
) -> None:
    if published is not None:
        publish(state, published, live=False)
    assert run("check", "sim:X/USDT", *words.split())[0] == down
    if published is not None:
        publish(state, published)
        assert run("check", "sim:X/USDT", *words.split())[0] == live


def test_bypass_permits_with_and_without_a_guard_until_it_is_ended(run: Run, state: Path) -> None:
    publish(state, image(HELD), live=False)
    assert run("check", "sim:X/USDT")[0] == 10
    code, text = run("bypass", "--for", "5m", "--reason", "exchange confirmed")
    assert code == 0
    assert text.startswith("BYPASS: everything is permitted until ")
    assert text.rstrip().endswith("exchange confirmed")
    for market in ("sim:X/USDT", "sim:Y/USDT"):
        code, text = run("check", market)
        assert code == 0
        assert "by the bypass" in text
        assert "exchange confirmed" in text
    document = json.loads(run("--json", "bypass")[1])
    assert document["bypass"]["reason"] == "exchange confirmed"
    assert run("bypass", "--end") == (0, "no bypass: guard's answers hold\n")
    assert run("check", "sim:X/USDT")[0] == 10


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--for 5m", 2),
        ("--reason x", 2),
        ("--end --reason x", 2),
        ("--for 5 --reason x", 2),
        ("--for 0s --reason x", 2),
        ("--for 25h --reason x", 1),
    ],
)
def test_bypass_that_is_not_well_said_is_refused_and_nothing_happens(run: Run, state: Path, words: str, code: int) -> None:
    assert run("bypass", *words.split())[0] == code
    assert not (state / "bypass").exists()


def test_bypass_without_a_state_folder_says_where_it_looked(run: Run, state: Path) -> None:
    code, text = run("bypass", "--for", "5m", "--reason", "x", "--state", str(state / "none"))
    assert code == 1
    assert f"there is no state folder {state / 'none'}" in text


def test_blocked_line_says_why_until_when_and_what_to_do(run: Run, state: Path) -> None:
    publish(state, image(HELD))
    code, text = run("check", "sim:X/USDT")
    assert code == 10
    assert text.count("\n") == 1
    for part in ("sim:X/USDT: blocked, open refused", "pump_dump: up 9 %", "until ", "(in 5", "quarantine release aabbccddeeff"):
        assert part in text


def test_probation_line_says_how_much_may_be_opened(run: Run, state: Path) -> None:
    publish(state, image(PROBATION))
    code, text = run("check", "sim:X/USDT")
    assert code == 0
    assert "open at most 25% of the usual size" in text


def test_text_from_outside_cannot_steer_the_terminal(run: Run, state: Path) -> None:
    publish(
        state, image(quarantine("exchange", kind=TargetKind.EXCHANGE, until_us=HELD.until_us, reason="\x1b[2Jcalm\nall is well"))
    )
    code, text = run("check", "exchange:X\x07/USDT")
    assert code == 10
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()


def test_document_carries_every_field_of_the_clearance(run: Run, state: Path) -> None:
    publish(state, image(HELD))
    code, text = run("check", "sim:X/USDT", "--json")
    document: dict[str, Any] = json.loads(text)
    age_ms = document.pop("age_ms")
    assert age_ms >= 0
    assert document == {
        "schema": 1, "market": "sim:X/USDT", "intent": "open", "status": "blocked", "permitted": False, "would_block": True,
        "reason": "up 9 %", "rule": "pump_dump", "level": "danger", "quarantine_id": "aabbccddeeff", "until_us": HELD.until_us,
        "until": document["until"], "max_fraction": 1.0, "data": "ok", "rules_active": 3, "rules_expected": 4, "epoch": 1, "seq": 4,
        "durable": True, "bypassed": False, "permitted_by": "", "mode": "enforce", "fail_open": False, "problem": None, "exit": 10,
    }  # fmt: skip
    assert code == 10


@pytest.mark.parametrize("market", ["X/USDT", ":X/USDT", "sim:", ""])
def test_market_that_is_not_one_is_a_mistake_of_usage(run: Run, market: str) -> None:
    code, text = run("check", market)
    assert code == 2
    assert "exchange:SYMBOL" in text


# Of the standard library, what costs a start tens of milliseconds.
HEAVY = {"asyncio", "concurrent.futures", "multiprocessing", "unittest", "xml.etree", "sqlite3"}


def imported_by(code: str) -> set[str]:
    names = "import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{names}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    """Return what is neither of the standard library nor of the way in which Python begins here."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names


def test_check_imports_click_and_little_of_guard(state: Path) -> None:
    code = f"from guard.cli import main\ntry: main(['check', 'sim:X/USDT', '--state', {str(state)!r}])\nexcept SystemExit: pass"
    modules = imported_by(code)
    assert packages(modules) <= packages(imported_by("")) | {"guard", "click"}
    assert not modules & HEAVY
    floors = {name.split(".")[1] for name in modules if name.startswith("guard.")}
    assert floors == {"cli", "client", "errors", "model"}


def test_client_imports_the_standard_library_alone() -> None:
    modules = imported_by("import guard.client")
    assert packages(modules) <= packages(imported_by("")) | {"guard"}
    assert not modules & (HEAVY | {"pathlib", "dataclasses", "datetime", "inspect", "subprocess"})
