"""Two real guards that are used together: bots that report, another guard's list, a second host, a watcher, a damaged ledger."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from cli.test_run import environment, until
from e2e.test_deadman import LaterClock
from e2e.world import Channel

from guard.alerts.notification import NotificationHandler
from guard.api.call import call
from guard.client import Guard
from guard.client.places import locate
from guard.dsl.deadman import load_deadman
from guard.runtime.deadman_run import Deadman
from guard.runtime.proof import read_heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUARD = [sys.executable, "-m", "guard"]
BASE = """\
version: 1
mode: enforce
rules: [guard:pump_dump]
exchanges:
  sim:
    connector: sim
    markets: ["*/USDT"]
    options: {{seed: 7, symbols: [BTC/USDT, ETH/USDT, LAYR/USDT, MOON/USDT], schedule: []}}
http: {{listen: "127.0.0.1:{port}"}}
aliases: {{LAYR: PEPE}}
alerts: {{channels: {{}}}}
"""
POLICIES = "bots: {loose: {mode: observe}, pumps: {rules: [pump_dump], min_level: critical}, seller: {sides: [sell]}}\n"
LISTS = """\
lists:
  other: {{url: "{url}/v1/blocklist", token: "{token}", format: guard, every: 5s, ttl: 10m, allow_private: true}}
  mine: {{path: mine.txt, every: 5s, ttl: 10m}}
"""
BOT = """\
import sys, ccxt
from guard.client import Guard
from guard.client.ccxt_exchange import OrderRefused, guarded
exchange = ccxt.kucoin({"apiKey": "k", "secret": "s", "password": "p"})
exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], "http://127.0.0.1:9")
guarded(exchange, Guard(sys.argv[1], sys.argv[2]), name="sim")
for symbol, side in (("LAYR/USDT", "buy"), ("ETH/USDT", "buy"), ("LAYR/USDT", "sell"), ("LAYR/USDT", "buy")):
    try:
        exchange.create_order(symbol, "limit", side, 1, 1)
    except OrderRefused:
        print("refused")
    except ccxt.NetworkError:
        print("sent")
"""


class Served:
    """A guard in its own process, with its HTTP interface and a token of each scope."""

    def __init__(self, folder: Path, more: str, *, port: int = 0) -> None:
        folder.mkdir()
        self.folder, self.state, self.port = folder, folder / ".guard", port
        self.more = more
        self.tokens: dict[str, str] = {}

    def start(self) -> None:
        (self.folder / "guard.yaml").write_text(BASE.format(port=self.port) + self.more)
        with (self.folder / "run.log").open("a") as errors:
            self.process = subprocess.Popen(
                [*GUARD, "run"], cwd=self.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=errors
            )

    def ready(self) -> None:
        until(self._is_ready, within_s=60)
        for scope in ("read", "operate", "admin"):
            if scope not in self.tokens:
                self.tokens[scope] = self.guard("token", "add", f"{scope}-token", "--scope", scope)["token"]

    def _is_ready(self) -> bool:
        try:
            found = self.status()
        except Exception:  # noqa: BLE001 - it is not there yet
            return False
        if not found["http"]["addresses"] or found["http"]["unready"]:
            return False
        self.port = int(found["http"]["addresses"][0].rpartition(":")[2])
        return True

    def status(self) -> dict[str, Any]:
        return dict(call(locate(self.state).socket, "status"))

    def guard(self, *words: str) -> dict[str, Any]:
        found = subprocess.run(
            [*GUARD, "--json", *words], cwd=self.folder, env=environment(), capture_output=True, text=True, check=True, timeout=60
        )
        return dict(json.loads(found.stdout))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: object = None, *, scope: str = "read") -> Any:  # noqa: ANN401 - JSON, or the text of metrics
        headers = {"Authorization": f"Bearer {self.tokens[scope]}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(), headers)  # noqa: S310 - http
        with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310 - http
            text = answer.read().decode()
        return json.loads(text) if answer.headers["Content-Type"].startswith("application/json") else text

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("joints") / "home", POLICIES)
    found.start()
    try:
        found.ready()
        found.ask("/v1/quarantines", {"target": "base:PEPE", "for": "10m", "reason": "news"}, scope="operate")
        yield found
    finally:
        found.close()


def test_orders_over_http_carry_the_tokens_name(home: Served) -> None:
    home.ask("/v1/quarantines/extend", {"target": "base:PEPE", "for": "1h", "reason": "still"}, scope="operate")
    home.ask("/v1/allow", {"target": "sim:BTC/USDT", "for": "10m", "reason": "mm", "rules": ["pump_dump"]}, scope="admin")
    assert [each["target"] for each in home.ask("/v1/allow")["allowed"]] == ["sim:BTC/USDT"]
    home.ask("/v1/allow/remove", {"target": "sim:BTC/USDT", "reason": "over"}, scope="admin")
    told = [(row["actor"], row["cause"]) for row in home.guard("quarantine", "history")["history"]]
    assert told[:3] == [("token:admin-token", "removed"), ("token:admin-token", "added"), ("token:operate-token", "operator")]


def test_freqtrades_list_says_what_the_client_says_to_each_bot(home: Served) -> None:
    for bot in ("", "loose", "pumps", "seller", "unnamed"):
        client = Guard(home.state, bot or None)
        for mode, is_listed in (("blacklist", False), ("whitelist", True)):
            entries = home.ask(f"/v1/freqtrade/sim/pairlist?mode={mode}&bot={bot}")["pairs"]
            for symbol in ("BTC/USDT", "ETH/USDT", "LAYR/USDT"):
                found = any(re.fullmatch(entry, symbol, re.IGNORECASE) for entry in entries)
                assert found is (client.check("sim", symbol, "buy").permitted is is_listed), (bot, mode, symbol)


def test_a_bots_orders_are_in_status_metrics_and_report(home: Served) -> None:
    for bot, said in (("mine", ["refused", "sent", "sent", "refused"]), ("loose", ["sent"] * 4)):
        words = [sys.executable, "-c", BOT, str(home.state), bot]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment(), timeout=60)
        assert done.stdout.split() == said

    def rows() -> dict[str, dict[str, int]]:
        return {row["name"]: row["totals"] for row in home.status()["bots"]["bots"]}

    until(lambda: {"mine", "loose"} <= rows().keys() and rows()["mine"]["blocked"] == 2, within_s=15)
    assert (rows()["mine"]["seen"], rows()["mine"]["exits"], rows()["loose"]["would_block"]) == (3, 1, 2)
    text = home.ask("/metrics")
    until(lambda: 'guard_bot_blocked_total{bot="mine"} 2.0' in home.ask("/metrics"), within_s=5)
    assert 'guard_bot_would_block_total{bot="loose"} 2.0' in home.ask("/metrics")
    assert "guard_heartbeat_whole 1.0" in text
    assert "guard_ledger_backups 1.0" in text

    def reported() -> dict[str, dict[str, Any]]:
        return {row["bot"]: row for row in home.guard("report", "--last", "1h")["bots"]}

    # It is written every ten seconds.
    until(lambda: {"mine", "loose"} <= reported().keys(), within_s=25)
    mine, loose = reported()["mine"], reported()["loose"]
    assert (mine["seen"], mine["refused"], mine["by_rule"]) == (3, 2, {"operator": 2})
    assert (loose["seen"], loose["refused"], loose["would_refuse"]) == (3, 0, 2)


def test_a_second_host_answers_every_bot_alike(home: Served, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(home.tokens["read"])
    (tmp_path / "token").chmod(0o600)
    words = [*GUARD, "agent", home.url, "--token-file", str(tmp_path / "token")]
    state = tmp_path / "state"
    agent = subprocess.Popen(words, env={**environment(), "GUARD_STATE": str(state)}, stdout=subprocess.DEVNULL)
    try:
        until(lambda: Guard(state).check("sim", "LAYR/USDT", "buy").status == "blocked", within_s=30)
        until(lambda: Guard(state).problem is None, within_s=10)
        for bot in (None, "loose", "pumps", "seller"):
            here, there = Guard(home.state, bot), Guard(state, bot)
            assert here.blocks() == there.blocks() != ()
            for symbol in ("LAYR/USDT", "1000PEPE/USDT:USDT", "kPEPE/USDC", "ETH/USDT", "NEW/USDT"):
                for side, intent in (("buy", None), ("sell", None), ("sell", "open"), ("buy", "hedge")):
                    for exchange in ("sim", "other"):
                        first, second = (each.check(exchange, symbol, side, intent) for each in (here, there))
                        assert first._replace(age_ms=0.0) == second._replace(age_ms=0.0)
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(10) == 0


def test_another_guards_list_and_allow_entries_outlive_a_damaged_ledger(home: Served, tmp_path: Path) -> None:
    reader = Served(tmp_path / "reader", LISTS.format(url=home.url, token=home.tokens["read"]))
    (reader.folder / "mine.txt").write_text("ETH/USDT # delisting\n")
    reader.start()
    try:
        reader.ready()
        until(lambda: sum(row["held"] for row in reader.status()["lists"]) == 2, within_s=20)
        assert {row["name"]: row["problem"] for row in reader.status()["lists"]} == {"other": None, "mine": None}
        assert Guard(reader.state).check("sim", "LAYR/USDT", "buy").rule == "list:other"
        assert 'guard_list_held{list="other"} 1.0' in reader.ask("/metrics")
        reader.guard("allow", "add", "sim:BTC/USDT", "--for", "1h", "--reason", "mm", "--rule", "pump_dump")
        held, allowed = _standing(reader)
        anchor = reader.status()["ledger"]["anchor"]
        until(lambda: read_heartbeat(reader.state / "snapshot" / "heartbeat").document["anchor"] == anchor, within_s=10)
        until(lambda: reader.status()["ledger"]["journal_seq"] == int(anchor.partition(":")[0]), within_s=10)
        reader.process.kill()
        reader.process.wait(10)
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            with (reader.state / name).open("r+b") as file:
                file.write(os.urandom(8192))
        reader.start()
        until(lambda: Guard(reader.state).check("sim", "ETH/USDT", "buy").rule == "list:mine", within_s=30)
        reader.ready()
        assert "the ledger was rebuilt" in (reader.folder / "run.log").read_text()
        assert _standing(reader) == (held, allowed)
        reader.guard("ledger", "verify", "--anchor", anchor)
    finally:
        reader.close()


def _standing(served: Served) -> tuple[set[tuple[str, ...]], list[Any]]:
    door = locate(served.state).socket
    held = {(row["id"], row["target"], row["rule"], row["state"]) for row in call(door, "quarantine.ls")["quarantines"]}
    return held, call(door, "allow.ls")["allowed"]


async def test_a_watcher_by_address_tells_of_a_stopped_and_a_killed_guard(home: Served, tmp_path: Path) -> None:
    people = Channel()
    people.is_down = False
    file = tmp_path / "deadman.yaml"
    file.write_text(
        f"version: 1\nwatch: {{home: {{url: '{home.url}/readyz'}}}}\n"
        f"channels: {{people: {{url: 'json://127.0.0.1:{people.port}/people'}}}}\n"
    )
    config, clock = load_deadman(file, {}), LaterWall()
    phone = NotificationHandler({name: each.url.get_secret_value() for name, each in config.channels.items()})
    watcher = Deadman(config, phone, clock)
    try:
        assert await watcher.look()
        home.process.send_signal(signal.SIGSTOP)
        assert await watcher.look(), "a short silence is none"
        clock.later_us = 70_000_000
        assert not await watcher.look()
        assert sum("gives no heartbeat" in title for title in people.titles) == 1
        home.process.send_signal(signal.SIGCONT)
        until(lambda: _answers(home) == 200, within_s=20)
        assert await watcher.look()
        assert sum("is back" in title for title in people.titles) == 1
        home.process.kill()
        home.process.wait(10)
        clock.later_us += 70_000_000
        assert not await watcher.look()
        assert people.titles.total() == 3
    finally:
        await phone.close()
        people.close()


class LaterWall(LaterClock):
    """The machine's wall clock, some seconds ahead."""

    later_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.later_us


def _answers(served: Served) -> int:
    try:
        with urllib.request.urlopen(f"{served.url}/readyz", timeout=5) as answer:  # noqa: S310 - http
            return int(answer.status)
    except OSError:
        return 0
