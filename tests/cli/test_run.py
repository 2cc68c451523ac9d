"""guard run as a process: what it shows, what it survives, and how it is asked and mended while it runs."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from guard.api.call import call
from guard.cli.console import LogConsole, pause_s
from guard.client.clock import pause
from guard.client.places import locate
from guard.errors import GuardError
from guard.runtime.printer import Printer
from guard.runtime.rulebook import Rulebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GUARD = [sys.executable, "-m", "guard"]
RULE = "rules:\n  busy: {mode: shadow, when: trades(10s) > 100000, level: warning}\n"
CONFIG = """\
version: 1
mode: enforce
rules: [rules/*.yaml]
exchanges:
  sim:
    connector: sim
    markets: ["*/USDT"]
    options: {seed: 7, symbols: [BTC/USDT, MOON/USDT], schedule: [], bot: falseINBOX}
alerts: {channels: {people: {url: "json://127.0.0.1:9/people"}}}
"""
_SET_PIPE_SIZE = 1031


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def folder_of(path: Path, *, inbox: str = "") -> Path:
    (path / "rules").mkdir()
    (path / "rules" / "own.yaml").write_text(RULE)
    (path / "guard.yaml").write_text(CONFIG.replace("INBOX", inbox))
    return path


def guard(folder: Path, *words: str) -> tuple[int, str, str]:
    found = subprocess.run([*GUARD, *words], cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    return found.returncode, found.stdout, found.stderr


def until(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    for _ in range(int(within_s / 0.1)):
        if condition():
            return
        pause(0.1)
    raise AssertionError("waited in vain")


class Running:
    """A guard in a process, asked through its socket."""

    def __init__(self, folder: Path, stdout: int, *words: str) -> None:
        self.folder = folder
        self.log = folder / "run.log"
        with self.log.open("w") as errors:
            self.process = subprocess.Popen([*GUARD, "run", *words], cwd=folder, env=environment(), stdout=stdout, stderr=errors)

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        return dict(call(locate(self.folder / ".guard").socket, operation, **arguments))

    def is_streaming(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            status = self.ask("status")
        except GuardError:
            return False
        return any(row["age_ms"] is not None for row in status["markets"]) and status["feeds"][0]["streaming"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(25)
        finally:
            self.process.kill()
            self.process.wait(5)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a guard whose stdout is a closed pipe from the beginning."""
    reading, writing = os.pipe()
    os.close(reading)
    running = Running(folder_of(tmp_path_factory.mktemp("run")), writing)
    os.close(writing)
    until(running.is_streaming)
    yield running
    assert running.stop() == 0
    log = running.log.read_text()
    assert "Traceback" not in log
    assert "Exception ignored" not in log
    assert "lines were not written to stdout" in log


def test_a_closed_stdout_stops_nothing(running: Running) -> None:
    before = running.ask("status")["events"]
    until(lambda: running.ask("status")["events"] > before)


def test_status_has_the_promised_rows_and_says_how_clock_and_channels_fare(running: Running) -> None:
    code, out, _ = guard(running.folder, "--json", "status")
    document = json.loads(out)
    assert code == 0
    assert {row["market"] for row in document["markets"]} == {"sim:BTC/USDT", "sim:MOON/USDT"}
    for row in document["markets"]:
        assert {"market", "level", "score", "state", "data", "age_ms"} <= set(row)
    assert abs(document["clock_jump_ms"]) < 1000
    assert document["channels"] == {"people": {"failing": False, "delivered": 0, "failed": 0, "dead": 0, "error": None}}
    assert document["feeds"][0]["problem"] is None


def test_why_explains_one_rule_and_refuses_one_that_is_not_there(running: Running) -> None:
    code, out, _ = guard(running.folder, "--json", "why", "sim:BTC/USDT", "--rule", "busy")
    assert code == 0
    assert [told["rule"] for told in json.loads(out)["rules"]] == ["busy"]
    assert "holds" not in json.loads(out)
    code, _, err = guard(running.folder, "why", "sim:BTC/USDT", "--rule", "bussy")
    assert (code, err) == (1, "there is no rule 'bussy'; did you mean busy?\n")


def test_rules_explain_without_a_recording_asks_the_running_guard(running: Running) -> None:
    code, out, _ = guard(running.folder, "rules", "explain", "busy", "sim:BTC/USDT")
    assert code == 0
    assert out.startswith("sim:BTC/USDT: ")
    assert "when: " in out
    assert max(map(len, out.splitlines())) <= 80
    assert guard(running.folder, "why", "sim:BTC/USDT", "--rule", "busy")[1].partition("\n")[0] == out.partition("\n")[0]
    code, out, _ = guard(running.folder, "--json", "rules", "explain", "busy", "sim:BTC/USDT")
    document = json.loads(out)
    assert (document["schema"], document["market"], [told["rule"] for told in document["rules"]]) == (1, "sim:BTC/USDT", ["busy"])
    assert {"scope", "for", "clear", "factors", "detectors", "missing", "tree"} <= set(document["rules"][0])
    code, _, err = guard(running.folder, "rules", "explain", "busy", "sim:BTCC/USDT")
    assert (code, err) == (1, "sim:BTCC/USDT is not watched; did you mean sim:BTC/USDT?\n")


def test_rules_reloaded_by_an_operator_are_the_ones_that_run(running: Running) -> None:
    own = running.folder / "rules" / "own.yaml"
    own.write_text(RULE + "  calm: {mode: shadow, when: trades(10s) < 0, level: warning}\n")
    answer = running.ask("reload")
    assert (answer["active"], answer["problem"]) == (2, None)
    until(lambda: {told["rule"] for told in running.ask("why", market="sim:BTC/USDT")["rules"]} == {"busy", "calm"})
    own.write_text(RULE)
    running.ask("reload")


@pytest.mark.parametrize(
    ("operation", "arguments", "told"),
    [
        ("quarantine.add", {"target": "base:A", "reason": "x", "for_us": True}, "for must be"),
        ("quarantine.add", {"target": "base:A", "reason": " ", "for_us": 10**9}, "reason must be given"),
        ("quarantine.release", {"id": ["a"], "reason": "x"}, "id must be given"),
        ("quarantine.history", {"limit": True}, "limit must be"),
        ("quarantine.history", {"target": {}, "limit": 0}, "limit must be"),
        ("why", {"market": "sim:NOPE/USDT"}, "not watched"),
    ],
)
def test_nonsense_is_refused_with_its_reason(running: Running, operation: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(GuardError, match=told):
        running.ask(operation, **arguments)


def test_doctor_names_the_channel_that_fails_with_its_error(running: Running) -> None:
    running.ask("quarantine.add", target="base:MOON", reason="news", for_us=60_000_000)
    until(lambda: running.ask("status")["channels"]["people"]["error"])
    code, out, _ = guard(running.folder, "--json", "doctor")
    findings = {finding["what"]: finding for finding in json.loads(out)["findings"]}
    assert code == 1
    assert not findings["channel people"]["is_well"]
    assert "it fails: " in findings["channel people"]["found"]
    assert findings["clock"] == {"what": "clock", "is_well": True, "found": "steady", "mend": findings["clock"]["mend"]}
    assert findings["feed sim"]["is_well"]


def test_a_second_guard_is_refused(running: Running) -> None:
    code, _, err = guard(running.folder, "run", "--for", "1s")
    assert code == 1
    assert f"another guard (process {running.process.pid})" in err


def test_a_stdout_that_nobody_reads_stops_nothing_and_a_taken_port_is_told_with_what_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        reading, writing = os.pipe()
        fcntl.fcntl(writing, _SET_PIPE_SIZE, 4096)
        os.write(writing, b"x" * 4090)
        running = Running(folder_of(tmp_path, inbox=f", inbox: {port}"), writing)
        os.close(writing)
        try:
            until(lambda: "feed failed" in running.log.read_text())
            assert running.ask("status")["feeds"][0]["notes"][0] == (
                f"the embedded exchange did not start: port {port} of 127.0.0.1 is in use, by another guard perhaps: stop that "
                "one, or set options.inbox of this exchange in guard.yaml to a free port and the channels under alerts with it"
            )
        finally:
            assert running.stop() == 0
            os.close(reading)
    assert "Fatal Python error" not in running.log.read_text()


def test_a_person_reads_once_for_each_failure_what_keeps_an_exchange_from_delivering() -> None:
    text, printer = io.StringIO(), Printer()
    console = LogConsole(printer, Console(file=text, width=140))
    feed = {"exchange": "sim", "failures": 0, "problem": "its streams have not begun"}
    for change in ({}, {"failures": 1, "problem": "port [1] is in use"}, {}, {"failures": 2}, {"problem": None}):
        feed.update(change)
        console._tell_feeds({"feeds": [feed]})
    assert printer.close()
    assert text.getvalue() == 2 * "sim does not deliver: port [1] is in use\n"


def test_a_log_gets_boards_for_two_minutes_and_then_now_and_then() -> None:
    pauses = list(map(pause_s, range(1, 151)))
    assert sum(pauses[:6]) <= 15 * 60
    assert sum(pauses) >= 86_400


def test_broken_rules_end_a_first_start_with_three_and_a_restart_runs_the_last_good_ones(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    own = folder / "rules" / "own.yaml"
    own.write_text(RULE.replace("trades", "tradez"))
    code, _, err = guard(folder, "run", "--for", "1s")
    assert code == 3
    assert "own.yaml:2:" in err
    own.write_text(RULE)
    Rulebook(folder / "guard.yaml", {}, last_good=folder / ".guard" / "last-good-rules")
    (folder / ".guard").chmod(0o700)
    own.write_text(RULE.replace("trades", "tradez"))
    code, out, err = guard(folder, "run", "--for", "1s", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert "the last good ones run" in err
    (title,) = [line["title"] for line in lines if line["type"] == "alert"]
    assert title.startswith("[DANGER] guard: changes were not taken over: rules/own.")
    assert title.endswith("yaml:2: unknown name 'tradez'")
    assert lines[-1]["type"] == "summary"
