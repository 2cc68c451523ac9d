"""Real ccxt exchanges against a server on loopback: a refused order never reaches the socket, an exit does."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import ccxt
import ccxt.async_support
import ccxt.pro
import pytest
from client.images import Machine, image, quarantine, view
from client.order_server import ANSWERS, FREE, FREE_SWAP, SPOT, SWAP, OrderServer, market, trading_at

from guard.client.ccxt_exchange import guarded, unguarded
from guard.client.refusal import OrderRefused
from guard.model import Block, IsolationState, Mode, TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = sorted(ANSWERS)


def blocking(machine: Machine, *exchanges: str, mode: Mode = Mode.ENFORCE, **kwargs: Any) -> None:
    held = [
        quarantine(f"{exchange}:{symbol}", identity=f"{number:012x}", **kwargs)
        for number, (exchange, symbol) in enumerate((exchange, symbol) for exchange in exchanges for symbol in (SPOT, SWAP))
    ]
    watched = {f"{exchange}:{symbol}": view() for exchange in exchanges for symbol in (SPOT, SWAP, FREE, FREE_SWAP)}
    machine.publish(image(*held, mode=mode, markets=watched))


ENTRIES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("create_order", (SPOT, "limit", "buy", 1, 1), {}),
    ("createOrder", (SPOT, "limit", "BUY", 1, 1), {}),
    ("create_order", (), {"symbol": SPOT, "type": "market", "side": "buy", "amount": 1, "price": 1}),
    ("create_limit_order", (SPOT, "buy", 1, 1), {}),
    ("createLimitBuyOrder", (SPOT, 1, 1), {}),
    ("create_market_order_with_cost", (SPOT, "buy", 5), {}),
    ("create_market_buy_order_with_cost", (SPOT, 5), {}),
    ("create_post_only_order", (SPOT, "limit", "buy", 1, 1), {}),
    ("create_stop_limit_order", (SPOT, "buy", 1, 1, 1), {}),
    ("create_trigger_order", (SPOT, "limit", "buy", 1, 1, 1), {}),
    ("create_orders", ([{"symbol": SPOT, "type": "limit", "side": "buy", "amount": 1, "price": 1}],), {}),
    ("edit_order", ("99", SPOT, "limit", "buy", 3, 1), {}),
    ("editOrder", ("99", SPOT, "limit", "buy", 3, 1), {}),
    ("edit_limit_buy_order", ("99", SPOT, 3, 1), {}),
    ("edit_order_with_client_order_id", ("mine", SPOT, "limit", "buy", 3, 1), {}),
    ("create_order", (SWAP, "limit", "buy", 1, 1), {}),
    ("create_order", (SWAP, "limit", "sell", 1, 1), {}),
    ("create_market_sell_order", (SWAP, 1), {}),
    ("create_orders", ([{"symbol": SWAP, "type": "limit", "side": "sell", "amount": 1, "price": 1}],), {}),
]
EXITS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("create_order", (SPOT, "limit", "sell", 1, 1), {}),
    ("createMarketSellOrder", (SPOT, 1), {}),
    ("create_limit_sell_order", (SPOT, 1, 1), {}),
    ("create_stop_loss_order", (SPOT, "limit", "sell", 1, 1, 0.9), {}),
    ("create_order", (SWAP, "market", "sell", 1, None, {"reduceOnly": True}), {}),
    ("create_stop_loss_order", (SWAP, "market", "sell", 1, None, 0.9), {}),
    ("create_order", (SPOT, "limit", "buy", 1, 1, {"guardIntent": "hedge"}), {}),
    ("cancel_order", ("7", SPOT), {}),
    ("cancelOrder", ("7", SWAP), {}),
    ("create_order", (FREE, "limit", "buy", 1, 1), {}),
    ("create_order", (FREE_SWAP, "limit", "sell", 1, 1), {}),
]


@pytest.mark.parametrize("name", IDS)
def test_sync_entries_stay_and_exits_arrive(machine: Machine, serve: Callable[[str], OrderServer], name: str) -> None:
    server = serve(name)
    blocking(machine, name)
    exchange = trading_at(getattr(ccxt, name), server.url)
    assert guarded(exchange, machine.guard(), intents="explicit") is exchange
    assert type(exchange) is getattr(ccxt, name)
    for method, args, kwargs in ENTRIES:
        with pytest.raises(ccxt.InvalidOrder) as caught:
            getattr(exchange, method)(*args, **kwargs)
        assert isinstance(caught.value, OrderRefused), method
        assert caught.value.clearance.status == "blocked"
        assert server.orders == [], method
    for method, args, kwargs in EXITS:
        before = len(server.orders)
        getattr(exchange, method)(*args, **kwargs)
        assert len(server.orders) == before + 1, method
        assert "guardIntent" not in str(server.orders[-1])
    unguarded(exchange).create_order(SPOT, "limit", "buy", 1, 1)


@pytest.mark.parametrize("package", [ccxt.async_support, ccxt.pro])
@pytest.mark.parametrize("name", IDS)
async def test_async_entries_stay_and_exits_arrive(
    machine: Machine, serve: Callable[[str], OrderServer], name: str, package: Any
) -> None:
    server = serve(name)
    blocking(machine, name)
    exchange = guarded(trading_at(getattr(package, name), server.url), machine.guard(), intents="explicit")
    try:
        for method, args, kwargs in ENTRIES:
            with pytest.raises(ccxt.InvalidOrder) as caught:
                await getattr(exchange, method)(*args, **kwargs)
            assert isinstance(caught.value, OrderRefused), method
            assert server.orders == [], method
        for method, args, kwargs in EXITS:
            before = len(server.orders)
            await getattr(exchange, method)(*args, **kwargs)
            assert len(server.orders) == before + 1, method
    finally:
        await exchange.close()


async def test_websocket_order_that_is_refused_opens_no_socket_and_an_exit_goes_out(machine: Machine) -> None:
    from aiohttp import web

    frames: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            frames.append(frame := message.json())
            await socket.send_json({"id": frame["id"], "status": 200, "result": ANSWERS["binance"], "rateLimits": []})
        return socket

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    blocking(machine, "binance")
    exchange = guarded(trading_at(ccxt.pro.binance, f"http://127.0.0.1:{port}"), machine.guard())
    try:
        for method, args in (("create_order_ws", (SPOT, "limit", "buy", 1, 1)), ("createLimitBuyOrderWs", (SPOT, 1, 1)),
                             ("edit_order_ws", ("99", SPOT, "limit", "buy", 5, 1))):  # fmt: skip
            with pytest.raises(OrderRefused):
                await getattr(exchange, method)(*args)
        assert frames == []
        await exchange.create_order_ws(SPOT, "limit", "sell", 1, 1)
        await exchange.create_market_sell_order_ws(SPOT, 1)
        assert [frame["params"]["side"] for frame in frames] == ["SELL", "SELL"]
    finally:
        await exchange.close()
        await runner.cleanup()


def test_edit_that_grows_nothing_passes_and_one_that_grows_does_not(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    blocking(machine, "binance", mode=Mode.OBSERVE)
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard())
    placed = exchange.create_order(SPOT, "limit", "buy", 1, 1)
    assert exchange.guard_desk.counts["would_block"] == 1
    blocking(machine, "binance")
    machine.pass_time(1)
    exchange.edit_order(placed["id"], SPOT, "limit", "buy", 1, 0.9)
    exchange.edit_order(placed["id"], SPOT, "limit", "buy", 0.5, 0.9)
    exchange.edit_order(placed["id"], SPOT, "limit", "buy", None, 0.9)
    assert len(server.orders) == 4
    with pytest.raises(OrderRefused):
        exchange.edit_order(placed["id"], SPOT, "limit", "buy", 1.5, 0.9)
    assert len(server.orders) == 4


def test_refused_orders_of_a_list_keep_their_places_and_the_rest_is_sent(
    machine: Machine, serve: Callable[[str], OrderServer]
) -> None:
    server = serve("okx")
    blocking(machine, "okx")
    exchange = guarded(trading_at(ccxt.okx, server.url), machine.guard())
    orders = [
        {"symbol": SPOT, "type": "limit", "side": "buy", "amount": 1, "price": 1},
        {"symbol": SPOT, "type": "limit", "side": "sell", "amount": 1, "price": 1, "params": {"guardIntent": "close"}},
    ]
    first, second = exchange.create_orders(orders)
    assert (first["status"], first["symbol"], first["id"]) == ("rejected", SPOT, None)
    assert second["id"] == "7"
    assert [each["side"] for each in server.orders[0][2]["list"]] == ["sell"]
    assert orders[1]["params"] == {"guardIntent": "close"}


@pytest.mark.parametrize(("on_shrink", "sent"), [("cut", "0.25"), ("pass", "1"), ("refuse", None)])
def test_probation_follows_the_option(
    machine: Machine, serve: Callable[[str], OrderServer], on_shrink: str, sent: str | None
) -> None:
    server = serve("binance")
    blocking(machine, "binance", state=IsolationState.PROBATION, block=Block.SHRINK)
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard(), on_shrink=on_shrink)
    if sent is None:
        with pytest.raises(OrderRefused):
            exchange.create_order(SPOT, "limit", "buy", 1, 1)
        return
    exchange.create_order(SPOT, "limit", "buy", 1, 1)
    exchange.create_market_buy_order_with_cost(SPOT, 10)
    assert server.orders[0][2]["quantity"] == sent
    assert server.orders[1][2]["quoteOrderQty"] == ("2.5" if on_shrink == "cut" else "10")


def test_symbol_in_the_exchanges_own_spelling_is_the_same_market(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    blocking(machine, "binance")
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard())
    with pytest.raises(OrderRefused):
        exchange.create_order("XUSDT", "limit", "buy", 1, 1)
    assert server.orders == []


async def test_first_order_of_an_exchange_that_knows_no_markets_yet_is_judged_by_its_market(machine: Machine) -> None:
    blocking(machine, "binance")
    answers = [market(ccxt.binance(), SPOT)]

    class Sync(ccxt.binance):  # type: ignore[misc]
        def fetch_markets(self, params: Any = None) -> Any:  # noqa: ARG002 - ccxt's
            return answers

    class Async(ccxt.async_support.binance):  # type: ignore[misc]
        async def fetch_markets(self, params: Any = None) -> Any:  # noqa: ARG002 - ccxt's
            return answers

    config = {"options": {"fetchCurrencies": False, "fetchMargins": False}}
    with pytest.raises(OrderRefused):
        guarded(Sync(config), machine.guard()).create_order("XUSDT", "limit", "buy", 1, 1)
    exchange = guarded(Async(config), machine.guard())
    with pytest.raises(OrderRefused):
        await exchange.create_order("XUSDT", "limit", "buy", 1, 1)
    await exchange.close()


def test_wrong_uses_are_told(machine: Machine) -> None:
    guard = machine.guard()
    exchange = guarded(ccxt.kraken(), guard)
    with pytest.raises(ValueError, match="guarded already"):
        guarded(exchange, guard)
    with pytest.raises(TypeError, match="ccxt exchange"):
        guarded(object(), guard)
    with pytest.raises(ValueError, match="on_shrink"):
        guarded(ccxt.kraken(), guard, on_shrink="half")
    with pytest.raises(ValueError, match="intents"):
        guarded(ccxt.kraken(), guard, intents="all")
    before = ccxt.kraken()
    assert vars(unguarded(exchange)).keys() == vars(before).keys()
    assert unguarded(before) is before


def test_order_is_judged_once_and_counted_once(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    blocking(machine, "binance", mode=Mode.OBSERVE)
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard())
    exchange.createLimitBuyOrder(SPOT, 1, 1)
    exchange.create_market_buy_order_with_cost(SPOT, 5)
    exchange.create_limit_sell_order(SPOT, 1, 1)
    assert exchange.guard_desk.counts == {
        "seen": 2, "exits": 1, "blocked": 0, "cut": 0, "bypassed": 0, "would_block": 2,
    }  # fmt: skip


def test_class_of_a_bot_that_takes_anything_is_judged_as_ccxts_own(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    class Mine(ccxt.binance):  # type: ignore[misc]
        def create_order(self, *args: Any, **kwargs: Any) -> Any:
            return super().create_order(*args, **kwargs)

    server = serve("binance")
    blocking(machine, "binance")
    exchange = guarded(trading_at(Mine, server.url), machine.guard(), name="binance")
    for args, kwargs in (((SPOT, "limit", "buy", 1, 1), {}), ((SPOT,), {"type": "limit", "side": "buy", "amount": 1, "price": 1})):
        with pytest.raises(OrderRefused):
            exchange.create_order(*args, **kwargs)
    exchange.create_order(SPOT, "limit", "sell", 1, 1)
    assert [order["side"] for _, _, order in server.orders] == ["SELL"]


def test_one_order_that_runs_in_a_thread_shields_no_other(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    blocking(machine, "binance")
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard())
    refused: list[bool] = []

    def enter() -> None:
        for _ in range(20):
            try:
                exchange.create_order(SPOT, "limit", "buy", 1, 1)
            except OrderRefused:
                refused.append(True)

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        exchange.create_order(SPOT, "limit", "sell", 1, 1)
    for thread in threads:
        thread.join()
    assert len(refused) == 60
    assert {order["side"] for _, _, order in server.orders} == {"SELL"}


def test_whole_asset_that_is_blocked_is_blocked_on_every_market(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    machine.publish(image(quarantine("X", kind=TargetKind.BASE), markets={}))
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard(), positions={})
    for symbol in (SPOT, SWAP):
        with pytest.raises(OrderRefused):
            exchange.create_order(symbol, "limit", "buy", 1, 1)
    assert server.orders == []


@pytest.mark.parametrize("words", [(None, "limit", "buy"), (), (SPOT,), (7, "limit", "buy", 1), (SPOT, "limit", None, 1)])
def test_call_that_ccxt_would_not_take_raises_what_ccxt_raises_or_a_refusal(machine: Machine, words: tuple[Any, ...]) -> None:
    blocking(machine, "binance")
    plain, exchange = trading_at(ccxt.binance, "http://127.0.0.1:1"), trading_at(ccxt.binance, "http://127.0.0.1:1")
    guarded(exchange, machine.guard())
    with pytest.raises((ccxt.BaseError, TypeError, AttributeError, KeyError)) as expected:
        plain.create_order(*words)
    with pytest.raises((type(expected.value), OrderRefused)):
        exchange.create_order(*words)


def test_judging_an_order_leaves_nothing_for_the_garbage_collector(machine: Machine) -> None:
    """A circle an order makes one order in a hundred wait for a collection."""
    blocking(machine, "binance")
    asked = []

    class Quiet(ccxt.binance):
        def create_order(self, *words: Any, **_: Any) -> Any:
            asked.append(words)

    exchange = guarded(trading_at(Quiet, "http://127.0.0.1:1"), machine.guard(), positions={}, name="binance")
    orders = [(FREE, "limit", "buy", 1, 1), (SPOT, "limit", "sell", 1, 1), (FREE_SWAP, "limit", "buy", 1, 1)]
    for order in orders:
        exchange.create_order(*order)
    gc.collect()
    gc.disable()
    try:
        for order in orders * 50:
            exchange.create_order(*order)
        left = gc.collect()
    finally:
        gc.enable()
    assert len(asked) == 153
    assert left < len(asked)
