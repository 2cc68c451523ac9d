"""A small exchange on loopback that notes every order it is sent, and real ccxt exchanges that trade there."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SPOT, SWAP = "X/USDT", "X/USDT:USDT"
FREE, FREE_SWAP = "Y/USDT", "Y/USDT:USDT"

ANSWERS: dict[str, Any] = {
    "binance": {"orderId": 7, "symbol": "XUSDT", "status": "NEW", "side": "BUY", "type": "LIMIT", "origQty": "1", "price": "1"},
    "kucoin": {"code": "200000", "data": {"orderId": "7"}},
    "gate": {"id": "7", "currency_pair": "X_USDT", "contract": "X_USDT", "status": "open", "side": "buy", "amount": "1", "size": 1},
    "okx": {"code": "0", "msg": "", "data": [{"ordId": "7", "clOrdId": "", "sCode": "0", "sMsg": "", "tag": ""}]},
}


class OrderServer:
    """Answers every request with one body and keeps what came with POST, PUT and DELETE."""

    def __init__(self, answer: Any) -> None:
        self.orders: list[tuple[str, str, dict[str, Any]]] = []
        orders = self.orders

        class Desk(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                address = urlsplit(self.path)
                words = dict(parse_qsl(address.query))
                try:
                    found = json.loads(raw)
                except ValueError:
                    found = dict(parse_qsl(raw))
                if self.command != "GET":
                    orders.append(
                        (self.command, address.path, {**words, **(found if isinstance(found, dict) else {"list": found})})
                    )
                is_list = "batch" in address.path.lower() and "code" not in answer
                body = json.dumps([answer] if is_list else answer).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the standard library's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def market(exchange: Any, symbol: str) -> Any:
    """Return a market as ccxt knows it, without asking the exchange."""
    is_swap = ":" in symbol
    base = symbol.partition("/")[0]
    dash = {"okx": "-", "kucoin": "-", "gate": "_"}.get(exchange.id, "")
    suffix = {"okx": "-SWAP", "kucoin": "M"}.get(exchange.id, "") if is_swap else ""
    dash = "" if is_swap and exchange.id == "kucoin" else dash
    found = exchange.safe_market_structure()
    found.update(
        id=f"{base}{dash}USDT{suffix}", symbol=symbol, base=base, quote="USDT", baseId=base, quoteId="USDT",
        settle="USDT" if is_swap else None, settleId="USDT" if is_swap else None, type="swap" if is_swap else "spot",
        spot=not is_swap, margin=not is_swap, swap=is_swap, future=False, option=False, contract=is_swap, active=True,
        linear=True if is_swap else None, inverse=False if is_swap else None, contractSize=1.0 if is_swap else None,
        precision={"amount": 1e-8, "price": 1e-8, "cost": 1e-8},
        limits={name: {"min": None, "max": None} for name in ("amount", "price", "cost", "leverage")},
        info={"orderTypes": ["LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT", "STOP_MARKET",
              "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET", "STOP", "LIMIT_MAKER"]},
    )  # fmt: skip
    return found


def trading_at(kind: Any, url: str, **options: Any) -> Any:
    """Return a real ccxt exchange whose every address is `url`."""
    exchange = kind({"apiKey": "k", "secret": "c2VjcmV0", "password": "p", "enableRateLimit": False, "options": options})
    symbols = (SPOT, SWAP, FREE, FREE_SWAP)
    exchange.set_markets([market(exchange, symbol) for symbol in symbols])
    exchange.currencies = {code: {"id": code, "code": code, "precision": 1e-8} for code in ("X", "Y", "USDT")}
    exchange.urls["api"] = _moved(exchange.urls["api"], url)
    exchange.hostname = "127.0.0.1"
    return exchange


def _moved(addresses: Any, url: str) -> Any:
    if isinstance(addresses, dict):
        return {name: _moved(each, url) for name, each in addresses.items()}
    return url if not str(addresses).startswith("ws") else url.replace("http", "ws")
