"""What is held decides whether an order through ccxt opens or leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ccxt
import ccxt.async_support
import pytest
from client.order_server import FREE_SWAP, SPOT, SWAP, OrderServer, trading_at
from client.test_ccxt_exchange import blocking

from guard.client.ccxt_exchange import guarded
from guard.client.ccxt_orders import method_of
from guard.client.refusal import OrderRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.images import Machine


def test_order_through_zero_closes_what_is_held_and_opens_nothing(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    blocking(machine, "binance")
    held = {SWAP: 2.0, FREE_SWAP: 2.0}
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard(), positions=held)
    exchange.create_order(SWAP, "market", "sell", 5)
    exchange.create_order(SWAP, "market", "sell", 2)
    exchange.create_order(FREE_SWAP, "market", "sell", 5)
    assert [order["quantity"] for _, _, order in server.orders] == ["2", "2", "5"]
    with pytest.raises(OrderRefused):
        exchange.create_order(SWAP, "market", "buy", 1)


def test_positions_that_fail_leave_the_last_known_and_are_told(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    blocking(machine, "binance")
    answers: list[Any] = [2.0, ZeroDivisionError("no cache"), "many"]

    def positions(_symbol: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard(), positions=positions)
    for _ in range(3):
        exchange.create_order(SWAP, "market", "sell", 1)
    assert len(server.orders) == 3
    assert "many" in exchange.guard_desk.problem


def test_markets_that_cannot_be_loaded_make_no_short_sale_an_exit(machine: Machine) -> None:
    blocking(machine, "binance")
    exchange = ccxt.binanceusdm()
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], "http://127.0.0.1:1")
    guarded(exchange, machine.guard(), name="binance", positions={})
    with pytest.raises(OrderRefused):
        exchange.create_order(SPOT, "market", "sell", 1)
    with pytest.raises(ccxt.NetworkError):
        exchange.create_order(SPOT, "market", "sell", 1, None, {"reduceOnly": True})


def test_margin_sell_is_told_by_what_is_held(machine: Machine, serve: Callable[[str], OrderServer]) -> None:
    server = serve("binance")
    blocking(machine, "binance")
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard(), positions={SPOT: -2})
    with pytest.raises(OrderRefused):
        exchange.create_order(SPOT, "market", "sell", 1, None, {"marginMode": "cross"})
    exchange.create_order(SPOT, "market", "buy", 2, None, {"marginMode": "cross"})
    with pytest.raises(OrderRefused):
        exchange.create_order(SPOT, "market", "buy", 2)
    assert [path for _, path, _ in server.orders] == ["/margin/order"]


@pytest.mark.parametrize("kind", [ccxt.binanceusdm, ccxt.bybit, ccxt.async_support.kucoinfutures, ccxt.hyperliquid])
def test_derivatives_without_positions_are_refused_with_the_way_out(machine: Machine, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"positions=.*intents='explicit'"):
        guarded(kind(), machine.guard())
    guarded(kind(), machine.guard(), positions={})
    guarded(kind(), machine.guard(), intents="explicit")


def test_stop_before_its_position_goes_out_only_so_that_it_cannot_open(
    machine: Machine, serve: Callable[[str], OrderServer]
) -> None:
    server = serve("binance")
    blocking(machine, "binance")
    held: dict[str, float] = {}
    exchange = guarded(trading_at(ccxt.binance, server.url), machine.guard(), positions=held)

    def marked() -> str:
        return str(server.orders[-1][2].get("reduceOnly")).lower()

    exchange.create_stop_loss_order(SWAP, "market", "sell", 1, None, 0.9)
    assert marked() == "true"
    exchange.create_order(SWAP, "market", "buy", 1, None, {"takeProfitPrice": 0.9, "hedged": False})
    assert marked() == "true"
    several = [{"symbol": SWAP, "type": "market", "side": "sell", "amount": 1, "params": {"stopLossPrice": 0.9}}]
    judged = exchange.guard_desk.judge(method_of(ccxt.binance().create_orders), (several,), {})
    assert judged.args[0][0]["params"] == {"stopLossPrice": 0.9, "reduceOnly": True}
    exchange.create_stop_loss_order(FREE_SWAP, "market", "sell", 1, None, 0.9)
    assert marked() == "none"
    count = len(server.orders)
    with pytest.raises(OrderRefused):
        exchange.create_order(SPOT, "limit", "buy", 1, 1, {"stopLossPrice": 0.9, "marginMode": "cross"})
    assert len(server.orders) == count
    held[SWAP] = 1.0
    exchange.create_stop_loss_order(SWAP, "market", "sell", 1, None, 0.9)
    assert marked() == "none"
    with pytest.raises(OrderRefused):
        exchange.create_stop_loss_order(SWAP, "market", "buy", 1, None, 1.1)
