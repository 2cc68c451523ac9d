"""``guard quarantine``, against a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from client.images import MINUTE, image, quarantine

from guard.api.server import OperatorServer
from guard.cli import main
from guard.cli.durations import LONGEST_US, parse_duration, say_duration
from guard.cli.wording import moment
from guard.client.clock import MACHINE
from guard.client.payload import block_record
from guard.errors import OperationRefused
from guard.model import IsolationState, TargetKind
from guard.model.moments import stamp
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Run = Callable[..., tuple[int, str]]

UNTIL_US = MACHINE.wall_us() + 60 * MINUTE
HELD = (
    quarantine(until_us=UNTIL_US),
    quarantine("PEPE", kind=TargetKind.BASE, identity="0123456789ab", state=IsolationState.PROBATION, until_us=UNTIL_US),
)


class Desk:
    """The operations of a guard, that write down what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def handlers(self) -> dict[str, Any]:
        return {f"quarantine.{name}": self._handler(name) for name in ("ls", "add", "release", "history")}

    def _handler(self, name: str) -> Any:  # noqa: ANN401 - a coroutine function
        async def handle(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            self.asked.append((name, {key: value for key, value in arguments.items() if key != "actor"}))
            return self.answer(name, arguments)

        return handle

    def answer(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "ls":
            records = [block_record(held) for held in HELD]
            return {"quarantines": [{**r, "opened": stamp(r["opened_us"]), "until": stamp(r["until_us"])} for r in records]}
        if name == "history":
            row = {"seq": 3, "at_us": UNTIL_US - 120 * MINUTE, "target": "sim:X/\x1bUSDT", "state": "quarantined", "cause": "rule"}
            return {"history": [{**row, "actor": "guard", "reason": "up 9 %", "quarantine": {"id": "aabbccddeeff"}}, {"seq": 2}]}
        if arguments["reason"] == "no":
            raise OperationRefused("nothing holds it")
        state = "quarantined" if name == "add" else "normal"
        return {"seq": 9, "transitions": [{"state": state, "until": stamp(UNTIL_US), "id": "aabbccddeeff"}]}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "snapshot").mkdir()
    monkeypatch.setenv("GUARD_STATE", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    assert state

    def run_words(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["quarantine", *words])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run_words


@pytest.fixture
def desk(state: Path) -> Iterator[Desk]:
    built, ready, loop = Desk(), threading.Event(), asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        async with OperatorServer(state / "operator.sock", built.handlers()):
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(5)
    yield built
    loop.call_soon_threadsafe(stopping.set)
    thread.join()
    loop.close()


def publish(state: Path) -> None:
    publisher = SnapshotPublisher(state / "snapshot", SystemClock())
    publisher.publish(image(*HELD, quarantine("sim:old/USDT", until_us=1)), epoch=1, seq=1, durable=True)
    publisher.stop()


@pytest.mark.usefixtures("desk")
def test_ls_shows_what_the_live_guard_holds(run: Run) -> None:
    code, text = run("ls")
    lines = text.splitlines()
    assert (code, len(lines)) == (0, 3)
    assert lines[0].split() == ["id", "target", "state", "until", "rule", "reason"]
    assert all(word in lines[1] for word in ("aabbccddeeff", "sim:X/USDT", "quarantined", "(in 5", "pump_dump", "up 9 %"))
    assert "base:PEPE" in lines[2]
    document = json.loads(run("ls", "--json")[1])
    assert (document["schema"], document["source"], len(document["quarantines"])) == (1, "guard", 2)


def test_ls_reads_the_last_snapshot_where_guard_is_down(run: Run, state: Path) -> None:
    publish(state)
    code, text = run("ls")
    assert code == 0
    assert text.startswith("guard is not running; this is its last snapshot\n")
    assert len(text.splitlines()) == 4
    document = json.loads(run("ls", "--json")[1])
    assert [held["target"] for held in document["quarantines"]] == ["sim:X/USDT", "base:PEPE"]
    assert document["source"] == "snapshot"
    assert document["quarantines"][0]["until"] == stamp(UNTIL_US)


def test_show_finds_one_by_the_beginning_of_its_id(run: Run, state: Path) -> None:
    publish(state)
    code, text = run("show", "aabb")
    assert code == 0
    assert "reason  up 9 %" in text
    assert run("show", "zz") == (
        1,
        "zz is not held; held are aabbccddeeff, 0123456789ab; `guard quarantine history` tells what was\n",
    )
    assert "names several" in run("show", "")[1]


def test_add_sends_the_target_and_says_until_when(run: Run, desk: Desk) -> None:
    code, text = run("add", "base:PEPE", "--for", "1h30m", "--reason", "rumour")
    assert code == 0
    assert text.startswith("base:PEPE is held until ")
    assert text.endswith("id aabbccddeeff (ledger entry 9)\n")
    assert desk.asked == [("add", {"target": "base:PEPE", "for_us": 90 * MINUTE, "reason": "rumour"})]


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("AABBCCDDEEFF", {"id": "aabbccddeeff"}),
        ("sim:X/USDT", {"target": "sim:X/USDT"}),
        ("exchange:okx", {"target": "exchange:okx"}),
        ("okx:BTC/USDT:USDT", {"target": "okx:BTC/USDT:USDT"}),
    ],
)
def test_release_takes_an_id_a_market_or_a_target(run: Run, desk: Desk, what: str, arguments: dict[str, str]) -> None:
    code, text = run("release", what, "--reason", "calm")
    assert (code, "is released (ledger entry 9)" in text) == (0, True)
    assert desk.asked == [("release", {**arguments, "reason": "calm"})]


@pytest.mark.usefixtures("desk")
def test_refusal_is_told_with_its_reason(run: Run) -> None:
    assert run("release", "sim:X/USDT", "--reason", "no") == (1, "nothing holds it\n")


def test_history_shows_rows_without_letting_them_steer_the_terminal(run: Run, desk: Desk) -> None:
    code, text = run("history", "sim:X/USDT", "--limit", "5")
    lines = text.splitlines()
    assert (code, len(lines)) == (0, 3)
    assert all(word in lines[1] for word in ("(1h", "sim:X/?USDT", "quarantined", "rule", "guard", "aabbccddeeff", "up 9 %"))
    assert lines[2] == "2"
    assert desk.asked == [("history", {"limit": 5, "target": "sim:X/USDT"})]


@pytest.mark.parametrize(
    "words",
    ["ls", "show aabb", "history", "add sim:X/USDT --for 2h --reason x", "release sim:X/USDT --reason x"],
)
def test_without_a_guard_it_says_so_and_exits_4(run: Run, words: str) -> None:
    code, text = run(*words.split())
    assert code == 4
    assert "guard run" in text


@pytest.mark.parametrize(
    "words",
    ["add sim:X/USDT --reason x", "add sim:X/USDT --for 2h", "add PEPE --for 2h --reason x", "add sim:X/USDT --for 2x --reason x",
     "release PEPE --reason x", "release sim:X/USDT", "history --limit 0"],
)  # fmt: skip
def test_order_that_is_not_well_said_is_a_mistake_of_usage(run: Run, desk: Desk, words: str) -> None:
    assert run(*words.split())[0] == 2
    assert desk.asked == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172800), (" 1D2H ", 93600), ("366d", LONGEST_US // 10**6)],
)
def test_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds * 10**6


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-5m", "1.5h", "5m1h", "5m5m", "0s", "367d", "9999999999s", "٣m", "1h x", "1 h", "inf"]
)
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="a duration is written 30m"):
        parse_duration(text)


def test_duration_and_moment_are_said_for_people() -> None:
    assert [say_duration(seconds * 10**6) for seconds in (0, 59, 61, 5400, 90061)] == ["0s", "59s", "1m 1s", "1h 30m", "1d 1h"]
    now_us = 1_800_000_000_000_000
    assert moment(now_us + 90 * 10**6, now_us=now_us).endswith("Z (in 1m 30s)")
    assert moment(now_us - 90 * 10**6, now_us=now_us).endswith(" (1m 30s ago)")
    assert "-" in moment(now_us + 200_000 * 10**6, now_us=now_us)
