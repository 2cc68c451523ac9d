"""An independent reading of recorded frames: what trades and books they hold, without ccxt and without the connector."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from ccxt_support import recorded_answers, recorded_frames

from guard.model import ASK, BID, BUY, SELL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Reading", "read_binance", "read_coinbase", "read_okx"]


class Reading:
    """Trades as (row, at_us, price, base amount, side, id), books by (row, side), and how often each book changed."""

    def __init__(self, market_ids: Sequence[str]) -> None:
        self.rows = {market_id: row for row, market_id in enumerate(market_ids)}
        self.trades: list[tuple[int, int, float, float, int, int]] = []
        self.books: dict[tuple[int, int], dict[float, float]] = defaultdict(dict)
        self.changes: dict[int, int] = defaultdict(int)

    def apply(self, row: int, sides: Iterable[tuple[int, Any]], *, size: float | None = None, is_snapshot: bool = False) -> None:
        """Apply [price, amount, ...] levels; `size` is that of an inverse contract, None for spot."""
        has_changed = is_snapshot
        for side, levels in sides:
            book = self.books[row, side]
            if is_snapshot:
                book.clear()
            for level in levels:
                price, amount = float(level[0]), float(level[1])
                before = book.pop(price, None)
                if amount:
                    book[price] = amount if size is None else amount * size / price
                has_changed = has_changed or book.get(price) != before
        self.changes[row] += has_changed


def read_binance(market_ids: Sequence[str]) -> Reading:
    reading = Reading(market_ids)
    last = {}
    for url, text in recorded_answers("BINANCE").items():
        if "/depth" in url:
            market_id, answer = dict(parse_qsl(urlsplit(url).query))["symbol"], json.loads(text)
            last[market_id] = answer["lastUpdateId"]
            reading.apply(reading.rows[market_id], ((BID, answer["bids"]), (ASK, answer["asks"])), is_snapshot=True)
    for _, frame in recorded_frames("BINANCE"):
        data = json.loads(frame)["data"]
        row = reading.rows[data["s"]]
        if data.get("e") == "depthUpdate" and data["u"] > last[data["s"]]:
            last[data["s"]] = data["u"]
            reading.apply(row, ((BID, data["b"]), (ASK, data["a"])))
        elif data.get("e") == "aggTrade":
            side = SELL if data["m"] else BUY
            reading.trades.append((row, data["T"] * 1000, float(data["p"]), float(data["q"]), side, data["a"]))
    return reading


def read_okx(contracts: dict[str, float | None]) -> Reading:
    """`contracts` maps each market id to the size of its (inverse) contract, None for spot."""
    reading = Reading(list(contracts))
    for _, frame in recorded_frames("OKX"):
        message = json.loads(frame)
        channel, market_id = (message.get("arg") or {}).get("channel"), (message.get("arg") or {}).get("instId")
        for data in message.get("data", ()):
            row, size = reading.rows[market_id], contracts[market_id]
            if channel == "books":
                is_snapshot = message["action"] == "snapshot"
                reading.apply(row, ((BID, data["bids"]), (ASK, data["asks"])), size=size, is_snapshot=is_snapshot)
            elif channel == "trades":
                price, amount = float(data["px"]), float(data["sz"])
                base = amount if size is None else amount * size / price
                side = BUY if data["side"] == "buy" else SELL
                reading.trades.append((row, int(data["ts"]) * 1000, price, base, side, int(data["tradeId"])))
    return reading


def read_coinbase(market_ids: Sequence[str]) -> Reading:
    reading = Reading(market_ids)
    for _, frame in recorded_frames("COINBASE"):
        message = json.loads(frame)
        row = reading.rows.get(message.get("product_id", ""))
        if row is None:
            continue
        if message["type"] == "snapshot":
            reading.apply(row, ((BID, message["bids"]), (ASK, message["asks"])), is_snapshot=True)
        elif message["type"] == "l2update":
            reading.apply(row, [(BID if side == "buy" else ASK, [level]) for side, *level in message["changes"]])
        elif message["type"] == "match":
            stamp = datetime.fromisoformat(message["time"])
            at_us = int(stamp.timestamp() * 1000) * 1000  # ccxt keeps milliseconds
            side = SELL if message["side"] == "buy" else BUY  # the message tells the maker's side
            reading.trades.append((row, at_us, float(message["price"]), float(message["size"]), side, message["trade_id"]))
    return reading
