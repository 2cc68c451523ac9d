"""An exchange, a guard and a Freqtrade bot, each a real process of its own."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.client import Guard

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
PYTHON: Final = HERE / ".venv" / "bin" / "python"
WAIT_S: Final = 120.0
"""How long a test waits for what is to happen; long, for slow machines: a test that passes never waits it out."""
LOOP_S: Final = 1
FAKETIME: Final = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
WATCHED: Final = "BTC/USDT"
PATHS: Final = os.pathsep.join([str(ROOT), str(ROOT / "connectors")])


def wait_for(what: str, is_so: Callable[[], Any], *, seconds: float = WAIT_S) -> Any:
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := is_so():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s in vain: {what}")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


class Process:
    """A process with a log; it ends with the test."""

    process: subprocess.Popen[bytes] | Forked | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        raise NotImplementedError

    def _run(self, command: list[str], log: Path, *, more: dict[str, str], **options: Any) -> None:
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.PIPE, env=plain_environment(**more), **options
            )

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


class Forked:
    """A process that the nursery forked: what the tests need of a ``Popen``."""

    stdin = None

    def __init__(self, number: int, ended: Path) -> None:
        self.pid, self._ended = number, ended
        self._handle = os.pidfd_open(number)

    def __del__(self) -> None:
        os.close(self._handle)

    @property
    def returncode(self) -> int:
        """What it returned; -1 where it was killed."""
        return int(self._ended.read_text()) if self._ended.exists() else -1

    def poll(self) -> int | None:
        return self.returncode if select.select([self._handle], [], [], 0)[0] else None

    def wait(self, seconds: float) -> int:
        if not select.select([self._handle], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired("freqtrade", seconds)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """One process that imported Freqtrade and forks bots; see ``freqtrade_nursery.py``."""

    process: subprocess.Popen[str] | None = None

    def fork(self, words: list[str], log: Path, *, cwd: Path, env: dict[str, str], user: int | None = None) -> Forked:
        if self.process is None:
            self.process = subprocess.Popen(
                [str(PYTHON), str(HERE / "freqtrade_nursery.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
            assert self.process.stdout is not None
            assert self.process.stdout.readline() == "ready\n"
        ended = log.with_suffix(".ended")
        ended.unlink(missing_ok=True)
        order = {"words": words, "log": str(log), "cwd": str(cwd), "env": env, "user": user, "ended": str(ended)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return Forked(int(self.process.stdout.readline()), ended)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


NURSERY: Final = Nursery()


def plain_environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that nobody told of guard or Freqtrade."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("GUARD_", "FREQTRADE_"))}
    return {**mine, "PYTHONPATH": PATHS, "PYTHONUNBUFFERED": "1", "GUARD_JIT": "0", **more}


def wall_of(folder: Path) -> dict[str, str]:
    """Return the environment of a process whose wall clock stands in a file, ``wall``; none without libfaketime."""
    if FAKETIME is None:
        return {}
    always = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {**always, "FAKETIME_TIMESTAMP_FILE": str(folder / "wall")}


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
