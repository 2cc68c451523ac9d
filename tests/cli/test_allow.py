"""``guard allow`` and ``guard quarantine extend``, against a real socket and a real pipeline."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from guard.api.server import OperatorServer
from guard.cli import main
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import AllowEntry, Market, MarketFacts, Target, TargetKind
from guard.pipeline import Pipeline, Settings
from guard.runtime.clock import SystemClock
from guard.runtime.operators import Operators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guard.model import Command, Decision

    Run = Callable[..., tuple[int, str]]

RULES = "rules: {busy: {mode: enforce, when: trades(10s) > 5, level: danger, actions: {danger: [alert, quarantine]}}}"
CORE = AllowEntry(Target(TargetKind.BASE, "CORE"), reason="watched by hand")


class Running:
    """What of a running guard orders need: a pipeline that carries them out, as `Live.operate` does."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.feeds = [SimpleNamespace(plan=SimpleNamespace(name="sim"))]
        self.pipeline = Pipeline(compile_rules(rules_from_text(RULES, Report())), Settings(allow=(CORE,)))
        self.pipeline.open(MarketFacts(Market("sim", "1000PEPE/USDT")))

    async def operate(self, command: Command) -> tuple[Decision, int]:
        return self.pipeline.operate(command, self.clock.now_us()), 7


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    monkeypatch.setenv("GUARD_STATE", str(tmp_path))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    ready, loop, stopping = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    live: Any = Running()
    none: Any = None

    async def serve() -> None:
        operators = Operators(live, none, none, bypass_path="", jump_us=lambda: 0)
        async with OperatorServer(tmp_path / "operator.sock", operators.handlers()):
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)

    def run_words(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    yield run_words
    loop.call_soon_threadsafe(stopping.set)
    thread.join()
    loop.close()
    structlog.reset_defaults()


def test_an_entry_is_ordered_listed_and_taken_back(run: Run) -> None:
    code, text = run("allow", "add", "base:1000PEPE", "--for", "7d", "--rule", "busy", "--rule", "gone", "--reason", "ours")
    assert (code, text.startswith("base:PEPE is allowed against busy, gone until ")) == (0, True)
    assert "no rule gone runs now" in text
    listed = json.loads(run("allow", "ls", "--json")[1])["allowed"]
    assert [(each["target"], each["rules"], each["actor"] == "guard.yaml") for each in listed] == [
        ("base:CORE", [], True),
        ("base:PEPE", ["busy", "gone"], False),
    ]
    assert "base:PEPE is allowed no more" in run("allow", "rm", listed[1]["id"], "--reason", "sold")[1]
    assert len(json.loads(run("allow", "ls", "--json")[1])["allowed"]) == 1


def test_an_entry_tells_what_holds_the_target_all_the_same(run: Run) -> None:
    assert run("quarantine", "add", "exchange:sim", "--for", "1h", "--reason", "rumour")[0] == 0
    code, text = run("allow", "add", "sim:1000PEPE/USDT", "--for", "1h", "--reason", "ours")
    assert (code, "still held until it is released: exchange:sim by operator" in text) == (0, True)


def test_a_hold_is_extended_and_shown_with_what_it_takes(run: Run) -> None:
    code, text = run("quarantine", "add", "base:1000PEPE", "--for", "1h", "--reason", "rumour")
    assert (code, "base:PEPE is held until" in text, "holds sim:1000PEPE/USDT" in text) == (0, True, True)
    assert "nobody watches a market of it" in run("quarantine", "add", "base:NONE", "--for", "1h", "--reason", "x")[1]
    run("quarantine", "release", "base:NONE", "--reason", "x")
    assert run("quarantine", "extend", "base:1000PEPE", "--for", "3d", "--reason", "still there")[0] == 0
    (held,) = json.loads(run("quarantine", "ls", "--json")[1])["quarantines"]
    assert (held["target"], held["zone"]) == ("base:PEPE", "")
    shown = run("quarantine", "show", held["id"])[1]
    assert "(in 2d 23h)" in shown
    assert "ends later than that" in run("quarantine", "extend", held["id"], "--for", "1h", "--reason", "x")[1]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("allow", "add", "exchange:sim", "--for", "1h", "--reason", "x"), 1, "a whole exchange"),
        (("allow", "add", "okx:A/USDT", "--for", "1h", "--reason", "x"), 1, "guard.yaml has no exchange"),
        (("allow", "add", "base:A", "--for", "400d", "--reason", "x"), 2, "up to 366d"),
        (("allow", "add", "base:A", "--for", "1h"), 2, "--reason"),
        (("allow", "add", "PEPE", "--for", "1h", "--reason", "x"), 2, "exchange:SYMBOL"),
        (("allow", "rm", "base:CORE", "--reason", "x"), 1, "stands in guard.yaml; take it out there"),
        (("allow", "rm", "0123456789ab", "--reason", "x"), 1, "ordered are none"),
        (("quarantine", "extend", "base:A", "--for", "1h", "--reason", "x"), 1, "nothing holds base:A"),
        (("quarantine", "extend", "base:A", "--for", "31d", "--reason", "x"), 1, "at most 30d, found 31d"),
        (("quarantine", "history", "nonsense"), 2, "exchange:SYMBOL"),
        (("quarantine", "extend", "12ab", "--for", "1h", "--reason", "x"), 2, "an id has 12 digits"),
        (("quarantine", "add", "base:A/USDT", "--for", "1h", "--reason", "x"), 2, "a base asset is written base:PEPE"),
        (("quarantine", "add", "symbol:A", "--for", "1h", "--reason", "x"), 2, "a symbol is written symbol:PEPE/USDT"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(run: Run, words: tuple[str, ...], code: int, told: str) -> None:
    found, text = run(*words)
    assert (found, told in text) == (code, True), text


@pytest.mark.parametrize("order", ["allow", "quarantine"])
def test_an_order_that_reaches_no_watched_market_says_what_was_probably_meant(run: Run, order: str) -> None:
    code, text = run(order, "add", "sim:1000pepe/usdt", "--for", "1h", "--reason", "x")
    assert (code, "did you mean sim:1000PEPE/USDT?" in text) == (0, True), text
    assert "nobody watches" not in run(order, "add", "base:PEPE", "--for", "1h", "--reason", "x")[1]
