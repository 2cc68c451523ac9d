"""``guard maintenance``, against a real socket and a real pipeline."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from guard.api.server import OperatorServer
from guard.cli import main
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import OperationRefused
from guard.model import Market, MarketFacts
from guard.pipeline import Pipeline
from guard.runtime.clock import SystemClock
from guard.runtime.maintenance import MaintenanceDesk, MaintenanceFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guard.model import Command, Decision, Target

    Run = Callable[..., tuple[int, str]]

RULES = "rules: {busy: {mode: shadow, when: trades(10s) > 5, level: warning}}"


class Running:
    """What of a running guard the desk needs: a pipeline that carries orders out, as `Live.operate` does."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.pipeline = Pipeline(compile_rules(rules_from_text(RULES, Report())))
        self.pipeline.open(MarketFacts(Market("sim", "A/USDT")))

    async def operate(self, command: Command) -> tuple[Decision, int]:
        return self.pipeline.operate(command, self.clock.now_us()), 7


def check(target: Target) -> None:
    if target.name.partition(":")[0] != "sim":
        raise OperationRefused(f"guard.yaml has no exchange {target.name!r}; it has sim")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("GUARD_STATE", str(tmp_path))
    # What guard logs would be on the command's output: both run in this process.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    built, ready, loop, stopping = Running(), threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    file = MaintenanceFile(tmp_path / "maintenance.json")
    live: Any = built

    async def serve() -> None:
        desk = MaintenanceDesk(live, check, lambda: file.keep(built.pipeline))
        async with OperatorServer(tmp_path / "operator.sock", desk.handlers()):
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)
    yield built
    loop.call_soon_threadsafe(stopping.set)
    thread.join()
    loop.close()
    structlog.reset_defaults()


@pytest.fixture
def run(running: Running, capsys: pytest.CaptureFixture[str]) -> Run:
    assert running

    def run_words(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["maintenance", *words])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run_words


def test_window_is_announced_listed_and_taken_back(run: Run) -> None:
    assert run("ls") == (0, "no maintenance is announced\n")
    code, text = run("add", "sim", "--for", "2h", "--reason", "upgrade")
    assert code == 0
    assert text.startswith("exchange:sim is in maintenance from ")
    listed = json.loads(run("ls", "--json")[1])["windows"]
    assert [(each["target"], each["state"], each["reason"]) for each in listed] == [("exchange:sim", "running", "upgrade")]
    assert listed[0]["actor"]
    code, text = run("rm", listed[0]["id"], "--reason", "done")
    assert (code, text) == (0, f"maintenance of exchange:sim is taken back, id {listed[0]['id']}\n")
    assert run("ls") == (0, "no maintenance is announced\n")


def test_window_to_come_of_one_market_is_written_in_utc(run: Run) -> None:
    code, text = run("add", "sim:A/USDT", "--from", "2099-03-01T08:00", "--until", "2099-03-01T10:00", "--reason", "x", "--json")
    assert (code, "within 366d" in text) == (1, True)
    code, text = run("add", "sim:A/USDT", "--for", "30m", "--reason", "x", "--json")
    document = json.loads(text)
    assert (code, document["seq"], document["windows"][0]["target"]) == (0, 7, "sim:A/USDT")


def test_window_of_a_market_that_nobody_watches_says_so(run: Run) -> None:
    assert "does not watch it now" in run("add", "sim:B/USDT", "--for", "1h", "--reason", "x")[1]
    assert "does not watch" not in run("add", "sim:A/USDT", "--for", "1h", "--reason", "x")[1]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("add", "sim", "--reason", "x"), 2, "--until or --for"),
        (("add", "sim", "--for", "1h", "--until", "2099-01-01", "--reason", "x"), 2, "--until or --for"),
        (("add", "sim", "--for", "1h"), 2, "--reason"),
        (("add", "base:PEPE", "--for", "1h", "--reason", "x"), 2, "or an exchange"),
        (("add", "sim", "--until", "tomorrow", "--reason", "x"), 2, "a moment is written"),
        (("add", "gate-sim", "--for", "1h", "--reason", "x"), 1, "guard.yaml has no exchange"),
        (("rm", "gate-sim", "--reason", "x"), 1, "announced are none"),
        (("add", "sim:*", "--for", "1h", "--reason", "x"), 2, "one market or of a whole exchange, sim for example"),
        (("add", "okx", "--for", "1h", "--reason", "x"), 1, "guard.yaml has no exchange"),
        (("add", "sim", "--for", "8d", "--reason", "x"), 1, "at most 7d"),
        (("add", "sim", "--until", "2020-01-01", "--reason", "x"), 1, "after now"),
        (("rm", "sim", "--reason", "x"), 1, "announced are none"),
        (("rm", "0123456789ab", "--reason", "x"), 1, "no window 0123456789ab"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(run: Run, words: tuple[str, ...], code: int, told: str) -> None:
    answer = run(*words)
    assert (answer[0], told in answer[1]) == (code, True), answer


def test_without_a_guard_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GUARD_STATE", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["maintenance", "ls"])
    assert ended.value.code == 4
    assert capsys.readouterr().err


def test_restart_keeps_what_was_announced_and_drops_what_is_over(run: Run, running: Running, tmp_path: Path) -> None:
    run("add", "sim", "--for", "1h", "--reason", "upgrade")
    fresh, late = Running().pipeline, Running().pipeline
    now_us = running.clock.now_us()
    MaintenanceFile(tmp_path / "maintenance.json").open(fresh, now_us)
    MaintenanceFile(tmp_path / "maintenance.json").open(late, now_us + 3_700_000_000)
    assert fresh.windows.save() == running.pipeline.windows.save()
    assert str(fresh.engine.data_state(0, now_us)) == "maintenance"
    assert late.windows.all() == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "windows": []}', '{"version": 1, "windows": [{"id": 1}]}'])
def test_damaged_file_is_left_behind(tmp_path: Path, text: str) -> None:
    (tmp_path / "maintenance.json").write_text(text)
    pipeline = Running().pipeline
    MaintenanceFile(tmp_path / "maintenance.json").open(pipeline, 1)
    assert pipeline.windows.all() == ()


async def test_disk_that_is_full_is_told_though_the_window_holds(tmp_path: Path) -> None:
    running: Any = Running()
    desk = MaintenanceDesk(running, check, lambda: MaintenanceFile(tmp_path / "gone" / "x.json").keep(running.pipeline))
    arguments = {"target": "exchange:sim", "for_us": 60_000_000, "reason": "x", "actor": "ann"}
    with pytest.raises(OperationRefused, match="until guard is started anew"):
        await desk.add(arguments)
    assert len(running.pipeline.windows.all()) == 1
