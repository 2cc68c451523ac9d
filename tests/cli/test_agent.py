"""``guard agent``: a real guard, a real agent and a real bot, three processes, and a guard that hangs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from cli.test_http_run import Served
from cli.test_run import environment, until

from guard.client.clock import MACHINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUARD = [sys.executable, "-m", "guard"]
BOT = """
import json, sys, time
from guard.client import Guard
bot, told = Guard(sys.argv[1]), {}
while True:
    for symbol in ("BTC/USDT", "MOON/USDT"):
        answer = bot.check("sim", symbol, "buy")
        seen = [str(answer.status), answer.permitted, answer.reason]
        if told.get(symbol) != seen:
            told[symbol] = seen
            print(json.dumps([time.clock_gettime_ns(time.CLOCK_BOOTTIME), symbol, *seen]), flush=True)
    time.sleep(0.02)
"""


class Lines:
    """The JSON lines of a process."""

    def __init__(self, words: list[str]) -> None:
        self.process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)
        self.lines: list[Any] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            self.lines.extend(json.loads(line) for line in out if line.startswith(("[", "{")))

    def end(self) -> int:
        self.process.terminate()
        code = self.process.wait(20)
        self.thread.join(5)
        return code


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("served"))
    yield found
    found.process.kill()
    found.process.wait(10)


def said(bot: Lines, symbol: str) -> list[Any]:
    return next((line for line in reversed(list(bot.lines)) if line[1] == symbol), [0, symbol, "", None, ""])


def test_bots_of_another_host_see_what_guard_says_and_unknown_5_s_after_the_link_ends(served: Served, tmp_path: Path) -> None:
    state = tmp_path / "away"
    words = [*GUARD, "--json", "agent", f"http://127.0.0.1:{served.port}", "--state", str(state)]
    wrong = {**environment(), "GUARD_TOKEN": "guard_wrong"}
    assert subprocess.run([*words, "--for", "2s"], env=wrong, capture_output=True, check=False).returncode == 4
    (tmp_path / "token").write_text(served.tokens["read"] + "\n")
    agent = Lines([*words, "--token-file", str(tmp_path / "token")])
    bot = Lines([sys.executable, "-c", BOT, str(state)])
    try:
        until(lambda: said(bot, "BTC/USDT")[3] is True, within_s=20)
        code, text = served.ask(
            "POST", "/v1/quarantines", {"target": "sim:MOON/USDT", "for": "10m", "reason": "x"}, scope="operate"
        )
        ordered_ns = MACHINE.boot_ns()
        assert code == 200, text
        until(lambda: said(bot, "MOON/USDT")[2] == "blocked", within_s=5)
        assert (said(bot, "MOON/USDT")[0] - ordered_ns) / 1e9 < 1.5

        # Guard hangs: nothing of it comes any more.
        served.process.send_signal(signal.SIGSTOP)
        hung_ns = MACHINE.boot_ns()
        until(lambda: said(bot, "BTC/USDT")[4] == "guard_silent", within_s=8)
        assert (said(bot, "BTC/USDT")[0] - hung_ns) / 1e9 < 5.1
        assert said(bot, "BTC/USDT")[3] is False
        assert said(bot, "MOON/USDT")[2] == "blocked"
        served.process.send_signal(signal.SIGCONT)
        until(lambda: said(bot, "BTC/USDT")[3] is True, within_s=15)

        assert agent.end() == 0
        until(lambda: said(bot, "BTC/USDT")[4] == "guard_silent", within_s=2)
        assert said(bot, "MOON/USDT")[2] == "blocked"
        assert {line["type"] for line in agent.lines} == {"agent"}
        assert any(line["connected"] and line["blocks"] == 1 for line in agent.lines)
        assert any(not line["connected"] and line["problem"] for line in agent.lines)
    finally:
        if agent.process.poll() is None:
            agent.end()
        bot.end()


def test_an_agent_refuses_what_would_show_its_token_or_write_over_a_guard(served: Served, tmp_path: Path) -> None:
    def run(*words: str, **env: str) -> tuple[int, str]:
        found = subprocess.run(
            [*GUARD, "agent", *words], env={**environment(), **env}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return found.returncode, found.stderr

    given = {"GUARD_TOKEN": "x"}
    assert run("http://guard.example:8787", **given)[0] == 2
    assert run("https://user:x@guard.example", **given)[0] == 2
    code, text = run("https://guard.example")
    assert (code, "GUARD_TOKEN" in text) == (2, True)
    code, text = run(f"http://127.0.0.1:{served.port}", "--state", str(served.state), **given)
    assert (code, "already runs" in text) == (1, True)
    assert (served.state / "snapshot" / "guard.snapshot").exists()
