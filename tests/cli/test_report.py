from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from guard.cli import main
from guard.client.clock import MACHINE
from guard.model import Decision, IsolationState, Level, Market, Target, TargetKind, Transition
from guard.model.aftermath import Aftermath
from guard.model.quarantine import Hold, Quarantine
from guard.runtime.clock import SystemClock
from guard.store import LedgerStore
from guard.store.past import HOUR_US, PastStore

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = 60_000_000
NOW = MACHINE.wall_us()
TARGET = Target(TargetKind.MARKET, "sim:X/USDT")


async def _ledger(path: Path) -> None:
    hold = Hold("pump_dump", Market("sim", "X/USDT"), TARGET, Level.DANGER, "up 9 %", for_us=10 * MINUTE, max_us=60 * MINUTE)
    opened = NOW - 60 * MINUTE
    held = Quarantine("0123456789ab", hold, IsolationState.QUARANTINED, opened, opened, opened + 20 * MINUTE, opened + 60 * MINUTE)
    gone = held._replace(state=IsolationState.NORMAL)
    steps = [
        Transition(opened, held, IsolationState.NORMAL, "rule", "guard", "up 9 %"),
        Transition(opened + 20 * MINUTE, gone, IsolationState.QUARANTINED, "calm", "guard", "calm"),
    ]
    store = LedgerStore(path, clock=SystemClock())
    state = await store.open()
    await store.commit([Decision(step.at_us, transitions=(step,), log=(step,)) for step in steps], epoch=state.epoch)
    await store.close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guard") / ".guard"
    folder.mkdir(mode=0o700)
    asyncio.run(_ledger(folder / "ledger.sqlite"))
    past = PastStore(folder / "past.sqlite", keep_us=90 * 24 * HOUR_US)
    past.open()
    opened = NOW - 60 * MINUTE
    one = Aftermath(
        id="0123456789ab", market="sim:X/USDT", target="sim:X/USDT", rule="pump_dump", level="danger", bound=True,
        opened_us=opened, for_us=10 * MINUTE, price=100.0, prices=(90.0, None, None), closed=(True, True, False),
    )  # fmt: skip
    hour = NOW // HOUR_US * HOUR_US
    sums = {(hour, "orders.refused", "mine|pump_dump"): 4.0, (hour, "orders.would_refuse", "tried|wash_trading"): 7.0}
    past.write([one], {**sums, (hour, "market_seconds", "sim"): 3_600.0}, NOW)
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["report", *words])
    return int(left.value.code or 0), capsys.readouterr().out


def test_a_report_needs_no_running_guard(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "--state", str(state), "--last", "24h")
    assert code == 0
    assert "pump_dump  1       0         1        20 m" in text
    assert "-10.2 % (1)" in text
    assert "mine" in text
    assert "pump_dump 4" in text
    assert "would be: wash_trading 7" in text


def test_the_document_has_fractions(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "--state", str(state), "--fee", "0", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["rules"][0]["worth"]["15m"] == {
        "known": 1,
        "mean": pytest.approx(-0.1),
        "avoided": pytest.approx(0.1),
        "missed": 0.0,
    }
    assert found["rules"][0]["blocked_s"] == 1_200.0
    assert found["bots"][0] == {
        "bot": "mine",
        "seen": 0,
        "refused": 4,
        "would_refuse": 0,
        "bypassed": 0,
        "by_rule": {"pump_dump": 4},
        "would_by_rule": {},
    }
    assert found["bots"][1]["would_by_rule"] == {"wash_trading": 7}


def test_a_digest_is_a_few_lines(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "--state", str(state), "--digest")
    assert code == 0
    assert text.startswith("guard, the last 7 d: 1 blocks, 0 would-be blocks, 20 m in all\n")
    assert "pump_dump: 1 + 0 would-be; an entry then, an hour later, less 0.2 % of fees: -\n" in text
    assert "bots: 2, 4 orders refused, 7 would be refused, 0 sent past guard" in text
    assert len(text.splitlines()) <= 8


def test_a_page_is_written(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "--state", str(state), "--html", str(tmp_path / "report.html"))
    assert code == 0
    assert "report.html" in text
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "pump_dump 4</td>" in page
    assert "would be: wash_trading 7</td>" in page


def test_without_a_ledger_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["report", "--state", str(tmp_path / "none")])
    assert left.value.code == 1
    assert "there is no ledger" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_told(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["report", "--state", str(state), "--html", str(tmp_path / "no" / "report.html")])
    assert left.value.code == 1
    assert "cannot be written" in capsys.readouterr().err
