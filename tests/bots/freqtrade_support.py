"""An exchange, a guard and a Freqtrade bot, each a real process of its own."""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from freqtrade_processes import HERE, NURSERY, PATHS, ROOT, Process, free_port, plain_environment, wait_for, wall_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from guard.client import Guard

LOOP_S: Final = 1
WATCHED: Final = "BTC/USDT"


class Exchange(Process):
    """The embedded exchange, speaking Binance's protocol."""

    def __init__(self, *, count: int) -> None:
        self._count = count
        self.rest = self.ws = ""

    def start(self) -> None:
        options = {"dialect": "binance", "schedule": "calm", "seed": 7, "count": self._count}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "guard_sim.server", json.dumps(options)],
            stdout=subprocess.PIPE, stdin=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": PATHS},
        )  # fmt: skip
        assert self.process.stdout is not None
        urls = json.loads(self.process.stdout.readline())
        self.rest, self.ws = urls["rest"], urls["ws"].rpartition("/")[0] + "/ws"

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        super().end(number)

    @property
    def pairs(self) -> list[str]:
        with urllib.request.urlopen(f"{self.rest}/api/v3/exchangeInfo", timeout=10) as answer:
            return [f"{each['baseAsset']}/{each['quoteAsset']}" for each in json.load(answer)["symbols"]]

    def ccxt(self, kind: str = "spot") -> dict[str, Any]:
        api = {"public": f"{self.rest}/api/v3", "private": f"{self.rest}/api/v3", "sapi": f"{self.rest}/sapi/v1"}
        api |= dict.fromkeys(("fapiPublic", "fapiPrivate"), f"{self.rest}/fapi/v1")
        options = {"fetchMarkets": {"types": [kind]}, "fetchCurrencies": False, "fetchMargins": False}
        return {"urls": {"api": api}, "options": options, "enableRateLimit": False}


GUARD_YAML = """\
version: 1
mode: {mode}
rules: [guard:pump_dump]
exchanges:
  binance:
    markets: {markets}
    streams: [trades]
    urls: {{api.public: "{rest}/api/v3", api.private: "{rest}/api/v3", api.ws.spot: "{ws}"}}
    options: {{options: {{fetchMarkets: {{types: [spot]}}, fetchCurrencies: false, fetchMargins: false}}}}
"""
CONTRACTS: Final = """\
  binanceusdm:
    markets: {markets}
    streams: [trades]
    urls: {{api.fapiPublic: "{rest}/fapi/v1", api.fapiPrivate: "{rest}/fapi/v1", api.ws.linear: "{ws}"}}
    options: {{options: {{fetchCurrencies: false}}}}
"""


class GuardRun(Process):
    """``guard run`` over the embedded exchange."""

    def __init__(
        self,
        folder: Path,
        exchange: Exchange,
        *,
        mode: str = "enforce",
        markets: Iterable[str] = ("MOON/USDT", "ETH/USDT", "SOL/USDT"),
        contracts: Iterable[str] = (),
        more: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = folder / ".guard"
        self.snapshot = self.state / "snapshot" / "guard.snapshot"
        self._own_client: Guard | None = None
        self.as_user: list[str] = []
        self.set_wall("+0")
        urls = {"rest": exchange.rest, "ws": exchange.ws}
        text = GUARD_YAML.format(mode=mode, markets=json.dumps([WATCHED, *markets]), **urls)
        if contracts:
            text += CONTRACTS.format(markets=json.dumps([f"{WATCHED}:USDT", *contracts]), **urls)
        self.yaml = folder / "guard.yaml"
        self.yaml.write_text(text + more)

    def start(self) -> None:
        more = {} if self.as_user else wall_of(self.folder)
        self._run(
            [*self.as_user, sys.executable, "-m", "guard", "--json", "run"], self.folder / "guard.log", cwd=self.folder, more=more
        )
        wait_for("guard watches the exchange's markets", self._watches)

    def set_wall(self, offset: str) -> None:
        """Set how far guard's wall clock is from the machine's: ``+0``, ``-86400``; nothing without libfaketime."""
        (self.folder / "wall").write_text(offset)

    def command(self, *words: str) -> str:
        """Give an order as a person would, and return what is answered."""
        found = subprocess.run(
            [sys.executable, "-m", "guard", *words], cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": PATHS},
        )  # fmt: skip
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    def hold(self, pairs: Iterable[str], exchange: str = "binance") -> None:
        self.hold_targets(f"{exchange}:{pair}" for pair in pairs)

    def hold_targets(self, targets: Iterable[str]) -> None:
        from guard.api.call import call

        for target in targets:
            call(str(self.state / "operator.sock"), "quarantine.add", target=target, for_us=7_200_000_000, reason="a test")

    def _watches(self) -> bool:
        from guard.client.snapshot import read_snapshot

        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"guard ended:\n{(self.folder / 'guard.log').read_text()[-3000:]}")
        if not (self.state / "operator.sock").exists() or self._client().problem is not None:
            return False
        found = read_snapshot(str(self.snapshot))
        return found is not None and f"binance:{WATCHED}" in found.markets

    def _client(self) -> Guard:
        from guard.client import Guard

        if self._own_client is None:
            self._own_client = Guard(self.state)
        return self._own_client


class Order(NamedTuple):
    """One order of the bot's own database."""

    id: int
    pair: str
    side: str
    status: str
    tag: str
    price: float
    cost: float
    is_short: bool

    @property
    def is_entry(self) -> bool:
        """Whether it opens or adds: a purchase, or the sale that a short begins with."""
        return (self.side == "buy") != self.is_short


class Bot(Process):
    """Freqtrade in dry-run, obeying a strategy file's wishes."""

    def __init__(self, folder: Path, exchange: Exchange, strategy: str, pairs: Iterable[str], **config: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.strategies = HERE / "strategies"
        self.strategy = strategy
        self.number = 0
        self.config = {
            "max_open_trades": 200, "stake_currency": "USDT", "stake_amount": 20, "tradable_balance_ratio": 0.99,
            "dry_run": True, "dry_run_wallet": 1_000_000, "timeframe": "1m", "trading_mode": "spot", "margin_mode": "",
            "entry_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
            "exit_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
            "exchange": {
                "name": "binance", "key": "", "secret": "", "enable_ws": False,
                "ccxt_config": exchange.ccxt("linear" if config.get("trading_mode") == "futures" else "spot"),
                "_ft_has_params": {"ohlcv_candle_limit": 30},  # no strategy here looks further back
                "pair_whitelist": list(pairs), "pair_blacklist": [],
            },
            "pairlists": [{"method": "StaticPairList"}],
            "api_server": {
                "enabled": True, "listen_ip_address": "127.0.0.1", "listen_port": self.port, "verbosity": "error",
                "jwt_secret_key": "a test of guard: thirty-two bytes", "username": "u", "password": "p", "CORS_origins": [],
            },
            "initial_state": "running", "force_entry_enable": True, "internals": {"process_throttle_secs": LOOP_S}, **config,
        }  # fmt: skip
        self.wish()

    @property
    def log(self) -> str:
        path = self.folder / "bot.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        self.launch()
        wait_for(f"{self.strategy} trades", lambda: self.loops() or self._fell())

    def launch(self, **options: Any) -> None:
        (self.folder / "config.json").write_text(json.dumps(self.config))
        words = [
            "trade", "-c", str(self.folder / "config.json"), "--userdir", str(self.folder),
            "--strategy-path", str(self.strategies), "-s", self.strategy, "--db-url", f"sqlite:///{self.folder}/trades.sqlite",
        ]  # fmt: skip
        self.process = NURSERY.fork(words, self.folder / "bot.log", cwd=self.folder, env=plain_environment(), **options)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        super().end(number)

    def wish(self, **wishes: Any) -> None:
        """Tell the strategy what to do; what is not named is not done."""
        self.number += 1
        nothing = {"enter": [], "short": [], "exit": [], "add": [], "reduce": [], "rest": [], "jump_s": 0}
        path = self.folder / "wishes.json"
        path.with_suffix(".new").write_text(json.dumps({**nothing, **wishes, "number": self.number}))
        path.with_suffix(".new").replace(path)

    def journal(self) -> list[list[str]]:
        path = self.folder / "journal.txt"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def loops(self) -> int:
        """Return how many loops began with the present wishes."""
        return sum(line == ["loop", str(self.number)] for line in self.journal())

    def tried(self, kind: str) -> set[str]:
        """Return the pairs for which the strategy itself wanted an ``entry`` or an ``add`` under the present wishes."""
        return {line[2] for line in self.journal() if line[:2] == [kind, str(self.number)]}

    def turn(self, count: int = 2) -> None:
        """Wait until the bot went through some whole loops with the present wishes."""
        wait_for(f"{count} loops of {self.strategy}", lambda: self.loops() > count or self._fell())

    def orders(self, *, after: int = 0) -> list[Order]:
        query = (
            "SELECT o.id, ft_pair, ft_order_side, status, coalesce(ft_order_tag, ''), coalesce(price, 0), coalesce(cost, 0), "
            "is_short FROM orders o JOIN trades t ON t.id = o.ft_trade_id WHERE o.id > ? ORDER BY o.id"
        )
        self._fell()
        if "Changing state to: RUNNING" not in self.log:
            return []  # the database is being made
        with sqlite3.connect(f"file:{self.folder}/trades.sqlite?mode=ro", uri=True, timeout=20) as database:
            return [Order(*row[:-1], is_short=bool(row[-1])) for row in database.execute(query, (after,))]

    def last_order(self) -> int:
        return max((order.id for order in self.orders()), default=0)

    def bought(self, *, after: int = 0) -> set[str]:
        """Return the pairs that it ordered to enter or to add to, long or short."""
        return {order.pair for order in self.orders(after=after) if order.is_entry}

    def holds(self) -> set[str]:
        """Return the pairs of which an entry was filled."""
        return {order.pair for order in self.orders() if order.is_entry and order.status == "closed"}

    def sold(self, *, after: int = 0) -> set[str]:
        """Return the pairs that it left, wholly or in part, long or short."""
        return {order.pair for order in self.orders(after=after) if not order.is_entry and order.status == "closed"}

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the bot's REST interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Basic " + base64.b64encode(b"u:p").decode(), "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def _fell(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the bot ended with {self.process.returncode}:\n{self.log[-4000:]}")
