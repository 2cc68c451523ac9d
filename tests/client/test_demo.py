from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from guard.client.demo import Bot, Wire
from guard.model import Clearance, ClearanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKETS = ("MOON/USDT", "BTC/USDT")
WATCH = """
import pathlib, sys, time
log = pathlib.Path(sys.argv[1])
while not log.exists() or log.read_text().count("\\n") < 7:
    time.sleep(0.01)
"""


class Exchange:
    """A small server that takes market orders and remembers them."""

    def __init__(self) -> None:
        self.orders: list[dict[str, str]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.orders.append({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})
                body = b'{"executedQty": "2.5"}'
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the base class's word
                del format, values

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    exchange = Exchange()
    yield exchange
    exchange.stop()


class Trader:
    """A bot with what it told and was told."""

    def __init__(self, exchange: Exchange) -> None:
        self.lines: list[dict[str, Any]] = []
        self.answers = Answers()
        self.wire = Wire(exchange.url)
        self.bot = Bot(self.answers, self.wire, self.lines.append, now_us=lambda: 5_000_000, markets=MARKETS)

    def beat(self, times: int) -> None:
        for _ in range(times):
            self.bot.beat()


@pytest.fixture
def trader(exchange: Exchange) -> Iterator[Trader]:
    trader = Trader(exchange)
    yield trader
    trader.wire.close()


class Answers:
    """Permits all markets but those that are blocked, and remembers what it was asked."""

    def __init__(self) -> None:
        self.blocked: set[str] = set()
        self.forbids_all = False
        self.asked: list[tuple[str, str, str | None, str | None]] = []

    def check(self, exchange: str, symbol: str, side: str | None = None, intent: str | None = None) -> Clearance:
        self.asked.append((exchange, symbol, side, intent))
        if self.forbids_all:
            return Clearance(ClearanceStatus.BLOCKED, permitted=False, would_block=True)
        if symbol in self.blocked:
            return Clearance(ClearanceStatus.BLOCKED, permitted=intent == "close", would_block=True, reason="pump_dump")
        return Clearance(ClearanceStatus.ALLOWED, permitted=True, would_block=False)


def test_it_asks_before_each_order_and_sends_what_is_permitted(exchange: Exchange, trader: Trader) -> None:
    trader.beat(4)
    assert trader.answers.asked == [("sim", symbol, "buy", "open") for symbol in MARKETS * 2]
    assert [order["symbol"] for order in exchange.orders] == ["MOONUSDT", "BTCUSDT"] * 2
    assert trader.lines[0] == {
        "ts": 5.0,
        "market": "sim:MOON/USDT",
        "intent": "open",
        "permitted": True,
        "status": "allowed",
        "reason": "",
        "sent": True,
    }


def test_a_blocked_market_gets_no_entry_and_keeps_its_way_out(exchange: Exchange, trader: Trader) -> None:
    trader.beat(4)
    trader.answers.blocked.add("MOON/USDT")
    del exchange.orders[:], trader.lines[:]
    trader.beat(6)
    moon = [line for line in trader.lines if line["market"] == "sim:MOON/USDT"]
    assert [(line["intent"], line["sent"], line["status"]) for line in moon] == [
        ("open", False, "blocked"),
        ("open", False, "blocked"),
        ("close", True, "blocked"),
    ]
    assert [order["side"] for order in exchange.orders if order["symbol"] == "MOONUSDT"] == ["SELL"]
    assert float(next(order for order in exchange.orders if order["side"] == "SELL")["quantity"]) == 5.0
    markets = trader.bot.summary()["markets"]
    assert markets["MOON/USDT"] == {"sent": 2, "refused": 2, "closed": 1, "failed": 0}
    assert markets["BTC/USDT"] == {"sent": 4, "refused": 0, "closed": 1, "failed": 0}


def test_a_way_out_is_taken_even_where_the_answer_forbids_it(exchange: Exchange, trader: Trader) -> None:
    trader.beat(2)
    trader.answers.forbids_all = True
    trader.beat(8)
    assert {order["side"] for order in exchange.orders[2:]} == {"SELL"}


def test_an_order_that_the_exchange_refuses_is_counted_as_failed(exchange: Exchange, trader: Trader) -> None:
    exchange.status = 400
    trader.beat(1)
    assert (trader.lines[0]["permitted"], trader.lines[0]["sent"]) == (True, False)
    assert trader.bot.tally["MOON/USDT"].failed == 1
    assert trader.bot.silent == 0


def test_an_exchange_that_went_away_is_counted_as_silent() -> None:
    gone = Exchange()
    gone.stop()
    trader = Trader(gone)
    trader.beat(3)
    assert trader.bot.silent == 3
    # Where a guard died with its exchange nothing is permitted either.
    trader.answers.forbids_all = True
    trader.beat(2)
    assert trader.bot.silent == 5


def test_an_exchange_that_answers_is_not_silent_while_all_orders_are_refused(trader: Trader) -> None:
    trader.answers.forbids_all = True
    trader.bot.silent = 4
    trader.beat(2)
    assert trader.bot.silent == 0


def test_sizes_differ_from_order_to_order(exchange: Exchange, trader: Trader) -> None:
    trader.beat(8)
    sizes = [order["quoteOrderQty"] for order in exchange.orders]
    assert len(set(sizes)) == len(sizes)


def test_the_program_ends_with_a_summary_when_told_to(exchange: Exchange, tmp_path: Path) -> None:
    out = tmp_path / "bot.jsonl"
    words = [
        sys.executable,
        "-m",
        "guard.client.demo",
        "--exchange",
        exchange.url,
        "--snapshot",
        str(tmp_path / "none"),
        "--out",
        str(out),
    ]
    with subprocess.Popen([*words, "--every", "0.01"]) as process:
        subprocess.run([sys.executable, "-c", WATCH, str(out)], check=True, timeout=20)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    # No guard has ever written here: entries are refused, and nothing is held that could be closed.
    assert {(line["status"], line["reason"], line["sent"]) for line in lines[:-1]} == {("unknown", "guard_silent", False)}
    assert lines[-1]["summary"]
    assert sum(tally["refused"] for tally in lines[-1]["markets"].values()) == len(lines) - 1
    assert exchange.orders == []
