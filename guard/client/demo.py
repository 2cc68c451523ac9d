"""A small bot that asks guard before each order: ``python -m guard.client.demo --exchange URL --snapshot PATH --out FILE``.

It trades on the embedded exchange, and shows how a bot of one's own does it: one `check` before each order, and nothing else
changes. It buys a little on each of several markets in turn and now and then sells what it has; guard may refuse the first, never
the second.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from guard.client.clock import MACHINE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model.clearance import Clearance

__all__ = ["Bot", "Checker", "Tally", "Wire", "main"]

MARKETS = ("MOON/USDT", "BTC/USDT", "SUDS/USDT", "LAYR/USDT", "YAWN/USDT", "SOL/USDT")
BEAT_S = 0.5
_CLOSE_EVERY = 5
_SPENT_USDT = (2.0, 6.0)
_GOLDEN = 0.6180339887498949
_DECIMALS = 8
_WIRE_S = 2.0
_SILENT_MAX = 10
_LOG_BYTES_MAX = 16 << 20
_OK = 200


class Checker(Protocol):
    """What the bot asks: `guard.client.Guard`."""

    def check(self, exchange: str, symbol: str, side: str | None = None, intent: str | None = None) -> Clearance:
        """Return what guard says of the order."""
        ...


@dataclass
class Tally:
    """What happened on one market; `refused` are orders that guard held back, `failed` those the exchange did not take."""

    sent: int = 0
    refused: int = 0
    closed: int = 0
    failed: int = 0


class Wire:
    """Sends market orders to an exchange that speaks Binance's REST, without keys: for the embedded exchange only."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._line = HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_WIRE_S)

    def order(self, symbol: str, **words: str) -> float | None:
        """Send a market order and return the amount that was filled, None where the exchange refused it.

        Raises OSError or HTTPException where the exchange does not answer.
        """
        query = urlencode({"symbol": symbol.replace("/", ""), "type": "MARKET", **words})
        try:
            self._line.request("POST", f"/api/v3/order?{query}")
            response = self._line.getresponse()
            body = response.read()
        except (OSError, HTTPException):
            self._line.close()
            raise
        return float(json.loads(body)["executedQty"]) if response.status == _OK else None

    def is_there(self) -> bool:
        """Whether the exchange answers, whatever it says."""
        try:
            self._line.request("GET", "/api/v3/time")
            self._line.getresponse().read()
        except (OSError, HTTPException):
            self._line.close()
            return False
        return True

    def close(self) -> None:
        """Let go of the connection."""
        self._line.close()


class Bot:
    """Visits one market a beat, in turn.

    Parameters
    ----------
    guard
        Is asked before each order.
    wire
        Takes the orders.
    record
        Gets one mapping for each order that was wanted, and the summary.
    now_us
        Wall time.
    exchange
        What guard calls the exchange.
    markets
        Symbols, at least one.
    """

    def __init__(
        self,
        guard: Checker,
        wire: Wire,
        record: Callable[[dict[str, Any]], None],
        *,
        now_us: Callable[[], int] = MACHINE.wall_us,
        exchange: str = "sim",
        markets: Sequence[str] = MARKETS,
    ) -> None:
        self._guard = guard
        self._wire = wire
        self._record = record
        self._now_us = now_us
        self._exchange = exchange
        self._markets = tuple(markets)
        self._beats = 0
        self._held: dict[str, float] = dict.fromkeys(self._markets, 0.0)
        self.tally = {symbol: Tally() for symbol in self._markets}
        self.silent = 0

    def beat(self) -> None:
        """Want one order: every fifth visit to a market sells what is held, the others buy a little."""
        symbol = self._markets[self._beats % len(self._markets)]
        visit = self._beats // len(self._markets)
        self._beats += 1
        if visit % _CLOSE_EVERY == _CLOSE_EVERY - 1 and self._held[symbol] > 0:
            self._want(symbol, "sell", "close", {"quantity": f"{self._held[symbol]:.{_DECIMALS}f}"})
        else:
            least, most = _SPENT_USDT
            # The golden ratio spreads the sizes: a bot with one size would look like a wash trader.
            spent = least + (most - least) * (self._beats * _GOLDEN % 1.0)
            self._want(symbol, "buy", "open", {"quoteOrderQty": f"{spent:.2f}"})

    def summary(self) -> dict[str, Any]:
        """Return the counts of each market."""
        return {"summary": True, "ts": self._now_us() / 1e6, "markets": {name: asdict(tally) for name, tally in self.tally.items()}}

    def _want(self, symbol: str, side: str, intent: str, words: dict[str, str]) -> None:
        clearance = self._guard.check(self._exchange, symbol, side=side, intent=intent)
        # A way out is never guard's to close, whatever it says.
        may_send = clearance.permitted or intent == "close"
        filled = None
        if may_send:
            filled = self._send(symbol, side, words)
        else:
            self._look()
        self._count(symbol, intent, is_asked_only=not may_send, filled=filled)
        self._record(
            {
                "ts": self._now_us() / 1e6,
                "market": f"{self._exchange}:{symbol}",
                "intent": intent,
                "permitted": clearance.permitted,
                "status": str(clearance.status),
                "reason": clearance.reason,
                "sent": filled is not None,
            }
        )

    def _send(self, symbol: str, side: str, words: dict[str, str]) -> float | None:
        try:
            filled = self._wire.order(symbol, side=side.upper(), **words)
        except (OSError, HTTPException):
            self.silent += 1
            return None
        self.silent = 0
        return filled

    def _look(self) -> None:
        """Notice an exchange that went away while guard refuses all orders: the guard that brought it may have been killed."""
        self.silent = 0 if self._wire.is_there() else self.silent + 1

    def _count(self, symbol: str, intent: str, *, is_asked_only: bool, filled: float | None) -> None:
        tally = self.tally[symbol]
        if is_asked_only:
            tally.refused += 1
        elif filled is None:
            tally.failed += 1
        elif intent == "close":
            tally.closed += 1
            self._held[symbol] = 0.0
        else:
            tally.sent += 1
            self._held[symbol] += filled


class _Log:
    """Appends JSON lines; beyond 16 MB the file moves to ``FILE.1`` and begins anew."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[str] = open(path, "a", encoding="utf-8")  # noqa: SIM115 - open for the life of the bot

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        if self._file.tell() > _LOG_BYTES_MAX:
            self._file.close()
            os.replace(self._path, f"{self._path}.1")
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - likewise
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Trade until SIGTERM or SIGINT, or until the exchange has been silent for ten orders; end with a summary in the log."""
    words = _words(arguments)
    from guard.client import Guard  # noqa: PLC0415 - `Bot` is of use without a snapshot to read

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    log = _Log(words.out)
    wire = Wire(words.exchange)
    bot = Bot(Guard(words.snapshot or None), wire, log.write, exchange=words.exchange_id, markets=words.markets.split(","))
    try:
        while bot.silent < _SILENT_MAX and not stopped.wait(words.every):
            bot.beat()
    finally:
        log.write(bot.summary())
        log.close()
        wire.close()
    return 0 if bot.silent < _SILENT_MAX else 1


def _words(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m guard.client.demo", description="A small bot that asks guard first.")
    parser.add_argument("--exchange", required=True, help="address of the embedded exchange, http://127.0.0.1:PORT")
    parser.add_argument("--snapshot", default="", help="snapshot file or state folder; default: where guard.client looks")
    parser.add_argument("--out", required=True, help="file for the JSON lines")
    parser.add_argument("--exchange-id", default="sim", help="what guard calls the exchange")
    parser.add_argument("--markets", default=",".join(MARKETS), help="symbols, separated by commas")
    parser.add_argument("--every", type=float, default=BEAT_S, help="seconds between two orders")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
