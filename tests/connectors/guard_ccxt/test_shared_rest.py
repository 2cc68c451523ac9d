"""One REST budget for one exchange and address: over entries of guard.yaml, and over a connector that is made anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ccxt.pro
import pytest
from aiohttp.test_utils import TestServer

from guard.errors import RateLimited
from guard.model import Market
from guard.model.ports import ConnectorContext
from guard.runtime.clock import SystemClock, seeded_random
from guard_ccxt import CcxtConnector
from guard_ccxt.rest.shared import shared_rest
from guard_sim.coins import chosen
from guard_sim.dialects import ccxt_options
from guard_sim.server.clock import now_us
from guard_sim.server.exchange import Exchange

if TYPE_CHECKING:
    from pathlib import Path

    from guard.model.ports import Clock
    from guard_ccxt.rest.client import Rest


def rest_of(exchange_id: str, clock: Clock, *, share: float = 0.2, url: str | None = None) -> Rest:
    exchange = getattr(ccxt.pro, exchange_id)()
    if url is not None:
        exchange.urls["api"]["public"] = url
    return shared_rest(exchange, clock, concurrent=4, share=share, stop_at=0.5, note=lambda _: None)


def test_two_entries_of_one_exchange_have_one_share_the_smaller_one() -> None:
    clock = SystemClock()
    first, second = rest_of("binance", clock), rest_of("binance", clock, share=0.1)
    assert first is second
    assert first.budget.most == pytest.approx(600.0)
    assert rest_of("binance", clock, share=0.5).budget.most == pytest.approx(600.0)


def test_other_exchanges_other_hosts_and_other_worlds_have_their_own() -> None:
    clock = SystemClock()
    one = rest_of("binance", clock)
    others = [
        rest_of("binanceusdm", clock),
        rest_of("binance", clock, url="http://127.0.0.1:1/api/v3"),
        rest_of("binance", SystemClock()),
    ]
    assert one not in others


class Nothing:
    def append(self, *_: Any, **__: Any) -> None:
        """Take a row."""


async def test_a_connector_made_anew_keeps_the_pause_and_streams_from_what_is_on_disk(tmp_path: Path) -> None:
    exchange = Exchange(coins=chosen(["BTC/USDT"]), seed=1, schedule="calm", now_us=now_us, dialect="gate")
    server = TestServer(exchange.app())
    await server.start_server()
    living = asyncio.create_task(exchange.run())
    address = f"127.0.0.1:{server.port}"
    urls = {"rest": f"http://{address}", "ws": f"ws://{address}{exchange.websocket}"}
    clock = SystemClock()

    def connector(folder: str) -> CcxtConnector:
        about = (ccxt_options("gate", urls), frozenset({"trades"}), clock, seeded_random(1), str(tmp_path / folder))
        return CcxtConnector(ConnectorContext("gate", *about, lambda _: None))

    first, again, elsewhere = connector("a"), connector("a"), connector("b")
    try:
        await first.open()
        first._session._rest._refused(418, None)
        await first.close()
        asked = sum(exchange.meter.requests.values())
        await again.open()
        assert again.health().details["rest"]["paused_s"] > 60
        streaming = asyncio.create_task(again.stream({Market("gate", "BTC/USDT"): 0}, Nothing()))
        async with asyncio.timeout(10):
            while "live" not in again.health().connections.values():  # noqa: ASYNC110 - sockets have no event to wait for
                await asyncio.sleep(0.05)
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
        assert sum(exchange.meter.requests.values()) == asked
        with pytest.raises(RateLimited, match="REST pauses for"):
            await elsewhere.open()
    finally:
        for one in (again, elsewhere):
            await one.close()
        living.cancel()
        exchange.hub.drop(None)
        await server.close()
