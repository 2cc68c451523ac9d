"""A book that cannot be synchronised: stock ccxt closes the whole connection for it, on six exchanges."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from ccxt_support import MovedClock, Rows, context, requests_of, until

from guard.model import Channel, Kind, Market
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from ccxt_support import FrameServer

A, B = Market("small", "A/USDT"), Market("small", "B/USDT")


class SmallGate:
    """Two markets, diffs every 20 ms on both books, and trades of A when told; snapshots of B can be refused."""

    def __init__(self, server: FrameServer, clock: MovedClock) -> None:
        self.server = server
        self.clock = clock
        self.update_id = 100
        self.refused = 0
        self.refuses = True
        self.payloads: list[list[str]] = []
        server.on_socket = self._script
        pairs = [
            {"id": f"{base}_USDT", "base": base, "quote": "USDT", "fee": "0.2", "precision": 4, "amount_precision": 2}
            | {"min_base_amount": "0.1", "min_quote_amount": "1", "trade_status": "tradable", "sell_start": 0, "buy_start": 0}
            for base in "AB"
        ]
        server.rest = {
            "/spot/currency_pairs": lambda _: (200, {}, json.dumps(pairs)),
            "/margin/currency_pairs": lambda _: (200, {}, "[]"),
            "/spot/order_book": self._book,
        }

    def options(self) -> dict[str, Any]:
        base = f"127.0.0.1:{self.server.port}"  # ccxt takes snapshots over REST where the url says gateeu
        public = dict.fromkeys(("spot", "margin"), f"http://{base}")
        return {
            "id": "gate",
            "urls": {"api": {"public": public, "spot": f"ws://{base}/gateeu/ws/v4/"}},
            "types": ["spot"],
            "options": {"watchOrderBook": {"interval": "100ms", "snapshotDelay": 1, "snapshotMaxRetries": 1, "maxRetries": 1}},
            "has": {"fetchTickers": False, "fetchCurrencies": False},
        }

    def _book(self, query: Mapping[str, str]) -> tuple[int, dict[str, str], str]:
        if query["currency_pair"] == "B_USDT" and self.refuses:
            self.refused += 1
            return 500, {}, '{"label": "SERVER_ERROR", "message": "no"}'
        book = {"id": self.update_id, "current": 1, "update": 1, "bids": [["0.9", "1"]], "asks": [["1.1", "2"]]}
        return 200, {}, json.dumps(book)

    async def _script(self, socket: web.WebSocketResponse) -> None:
        talking: list[asyncio.Task[None]] = []
        async for request in requests_of(socket):
            self.payloads.append(request["payload"])
            answer = {"time": 1, "id": request["id"], "channel": request["channel"], "event": request["event"]}
            await socket.send_str(json.dumps(answer | {"error": None, "result": {"status": "success"}}))
            if request["channel"] == "spot.order_book_update" and not talking:
                talking.append(asyncio.create_task(self._talk(socket)))
        for task in talking:
            task.cancel()

    async def _talk(self, socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            self.update_id += 1
            for base in "AB":
                stamp = self.clock.now_us() // 1000
                diff = {"t": stamp, "e": "depthUpdate", "E": stamp // 1000, "s": f"{base}_USDT", "U": self.update_id}
                diff |= {"u": self.update_id, "b": [["0.8", str(self.update_id)]], "a": []}
                frame = {"time": 1, "channel": "spot.order_book_update", "event": "update", "result": diff}
                await socket.send_str(json.dumps(frame))
            await asyncio.sleep(0.02)


async def test_book_that_cannot_be_synchronised_takes_no_neighbour_down_and_is_tried_again_with_back_off(
    server: FrameServer,
) -> None:
    clock = MovedClock()
    exchange = SmallGate(server, clock)
    reports: list[str] = []
    given = context("small", exchange.options(), clock, reports=reports, chance=0.5)
    connector = CcxtConnector(given)
    await connector.open()
    rows = Rows()
    task = asyncio.create_task(connector.stream({A: 0, B: 1}, rows))
    await rows.until(lambda rows: len(rows.of(Kind.LEVEL, 0)) > 2)
    await until(lambda: exchange.refused >= 2)
    assert len(server.dials) == 1
    assert rows.of(Kind.LEVEL, 1) == []
    assert exchange.refused <= 6  # a quarter, half a second, a second...: not one for each few diffs
    exchange.refuses = False
    await rows.until(lambda rows: len(rows.of(Kind.LEVEL, 1)) > 2)
    assert len(server.dials) == 1
    assert rows.statuses(0).count(("LIVE", Channel.BOOK)) == 1
    assert not any(status == "LOST" for status, _ in rows.statuses())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await connector.close()
