"""Each fault, and what an unmodified ccxt.pro sees of it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from guard_sim.server.faults import Fault, Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_support import Running

LIMIT_S = 15.0


async def endlessly(watch: Callable[[str], Any], *, seconds: float = LIMIT_S) -> None:
    """Watch BTC/USDT again and again until something is raised."""
    async with asyncio.timeout(seconds):
        while True:
            await watch("BTC/USDT")


async def test_a_dropped_connection_is_a_network_error_and_the_next_call_has_data(
    running: Running, pointed: Callable[[], Any]
) -> None:
    import ccxt

    client = pointed()
    await client.watch_trades("BTC/USDT")
    answer = await running.fault("drop", symbol="BTC/USDT")
    assert answer["reached"] == 1
    with pytest.raises(ccxt.NetworkError):
        await endlessly(client.watch_trades)
    assert await asyncio.wait_for(client.watch_trades("BTC/USDT"), LIMIT_S)


async def test_a_silent_symbol_sends_nothing_while_rest_goes_on(running: Running, pointed: Callable[[], Any]) -> None:
    client = pointed()
    await client.watch_order_book("BTC/USDT")
    await running.fault("silent", symbol="BTC/USDT", for_s=60.0)
    # What was under way may still arrive; after that nothing does.
    await asyncio.sleep(0.2)
    nonce = client.orderbooks["BTC/USDT"]["nonce"]
    before = await running.ask("/api/v3/depth", symbol="BTCUSDT", limit=5)
    await asyncio.sleep(0.4)
    assert client.orderbooks["BTC/USDT"]["nonce"] == nonce
    assert (await running.ask("/api/v3/depth", symbol="BTCUSDT", limit=5))["lastUpdateId"] > before["lastUpdateId"]
    assert await asyncio.wait_for(client.watch_order_book("ETH/USDT"), LIMIT_S)


async def test_a_lost_book_message_breaks_the_sequence(running: Running, pointed: Callable[[], Any]) -> None:
    import ccxt

    client = pointed()
    await client.watch_order_book("BTC/USDT")
    await client.watch_order_book("BTC/USDT")
    await running.fault("skip_sequence", symbol="BTCUSDT")
    with pytest.raises(ccxt.ChecksumError):
        await endlessly(client.watch_order_book)
    assert await asyncio.wait_for(client.watch_order_book("BTC/USDT"), LIMIT_S)


async def test_a_malformed_frame_stops_stock_ccxt_without_a_word(running: Running, pointed: Callable[[], Any]) -> None:
    client = pointed()
    await client.watch_trades("BTC/USDT")
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context.get("exception")))
    assert (await running.fault("malformed", symbol="BTC/USDT"))["reached"] == 1
    with pytest.raises(TimeoutError):
        await endlessly(client.watch_trades, seconds=0.6)
    assert any(isinstance(error, ValueError) for error in heard)


async def test_a_throttled_exchange_answers_429_with_a_pause(running: Running, pointed: Callable[[], Any]) -> None:
    import ccxt

    client = pointed()
    await client.load_markets()
    await running.fault("http_429", for_s=30.0)
    with pytest.raises(ccxt.DDoSProtection):
        await client.fetch_order_book("BTC/USDT")
    async with aiohttp.ClientSession() as session, session.get(f"{running.rest}/api/v3/ping") as response:
        assert response.status == 429
        assert 1 <= int(response.headers["Retry-After"]) <= 30
    assert (await running.ask("/control/health"))["connections"] == 0


async def test_a_frozen_feed_of_the_schedule_breaks_the_sequence_when_it_returns(
    running: Running, pointed: Callable[[], Any]
) -> None:
    import ccxt

    client = pointed()
    for _ in range(2):
        await client.watch_order_book("BTC/USDT")
    market = running.exchange.market.by_symbol["BTC/USDT"]
    market.is_silent = True
    await asyncio.sleep(0.4)
    market.is_silent = False
    with pytest.raises(ccxt.ChecksumError):
        await endlessly(client.watch_order_book)


@pytest.mark.parametrize(
    "document",
    [None, [], {"kind": "fire"}, {"kind": "drop", "for_s": -1}, {"kind": "drop", "for_s": True}, {"kind": "drop", "symbol": "NO"}],
)
async def test_a_fault_that_cannot_be_is_refused_with_a_reason(running: Running, document: Any) -> None:
    status, answer = await running.post("/control/fault", document)
    assert status == 400
    assert answer["error"]


def test_faults_end_with_their_time() -> None:
    faults = Faults()
    faults.order(Fault("silent", "BTCUSDT", 2.0), 1_000_000)
    faults.order(Fault("http_429", None, 1.0), 1_000_000)
    assert faults.is_silent("BTCUSDT", 2_999_999)
    assert not faults.is_silent("BTCUSDT", 3_000_000)
    assert not faults.is_silent("ETHUSDT", 2_000_000)
    assert faults.throttled_until_us == 2_000_000


async def test_a_reader_that_does_not_read_is_cut(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    hub = running.exchange.hub
    async with aiohttp.ClientSession() as session, session.ws_connect(running.websocket) as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
        await socket.receive()
        (reader,) = hub.readers
        # No turn of the loop between them: the writer cannot keep up.
        for _ in range(5000):
            reader.send("{}")
        assert reader.is_cut
        for _ in range(500):
            if not hub.readers:
                break
            await asyncio.sleep(0.01)
    assert (len(hub.readers), hub.cut) == (0, 1)


async def test_commands_are_answered_and_wrong_ones_refused(running: Running) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(running.websocket) as socket:

        async def say(method: str, *params: str) -> Any:
            await socket.send_json({"method": method, "params": list(params), "id": 9})
            while True:
                answer = await socket.receive_json()
                if "stream" not in answer:
                    return answer

        assert await say("SUBSCRIBE", "btcusdt@aggTrade", "btcusdt@depth") == {"result": None, "id": 9}
        assert (await say("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@aggTrade", "btcusdt@depth"]
        assert "no stream" in (await say("SUBSCRIBE", "nope@trade"))["error"]["msg"]
        assert "no method" in (await say("DANCE"))["error"]["msg"]
        assert (await say("UNSUBSCRIBE", "btcusdt@depth"))["id"] == 9
        assert (await say("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@aggTrade"]
        await socket.send_str("not json")
        while "error" not in (answer := await socket.receive_json()):
            continue
        assert answer["error"]["code"] == 2


async def test_the_slow_book_stream_joins_its_messages(running: Running) -> None:
    url = running.websocket.replace("/stream", "/ws/btcusdt@depth")
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        first = await asyncio.wait_for(socket.receive_json(), LIMIT_S)
        second = await asyncio.wait_for(socket.receive_json(), LIMIT_S)
    assert first["e"] == "depthUpdate"
    assert second["U"] == first["u"] + 1
