"""Every way in which the installed ccxt places an order goes through guard, and costs microseconds."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final

import ccxt
import ccxt.async_support
import ccxt.pro
import pytest
from client.images import Machine, image

from guard.client.ccxt_exchange import guarded, order_methods
from guard.client.ccxt_orders import CcxtDesk, is_order_method, method_of
from guard.client.clock import MACHINE
from guard.client.refusal import OrderRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES: Final = (ccxt, ccxt.async_support, ccxt.pro)
# What has "order" in its name and sends none: it reads, cancels, builds a request that another method sends, or signs it.
READS: Final = re.compile(
    r"(fetch|watch|un_watch|parse|handle|cancel|safe|get|load|is|sign|hash|encode|sort|calculate|filter|validate|check|map|format|set|"
    r"limit|reset|custom|ob|order|contract_order|clean|counted|indexed|resubscribe|verify|calc|reduce_order_volume|generate)_?.*"
)
BUILDS: Final = re.compile(r".*_(request|appendix|nonce|settlement_data|from_parts|message_hash|to_precision)")
NO_ORDERS: Final = frozenset({"lighter_sign_create_order", "lighter_sign_create_grouped_orders", "lighter_sign_modify_order",
    "lighter_sign_cancel_order", "lighter_sign_cancel_all_orders", "eip_message_for_order"})  # fmt: skip
IMPLICIT: Final = re.compile(r"(^|_)(public|private|v\d+|get|post|put|delete|patch|sapi|fapi|dapi|papi|eapi)_")
# These move money or positions without being orders of a market: an exit, or a swap of two currencies at the exchange's own price.
NO_MARKET: Final = frozenset({"close_position", "close_all_positions", "create_convert_trade"})


def names(word: str) -> Iterator[tuple[Any, str]]:
    for package in PACKAGES:
        for kind in (package.Exchange, *(getattr(package, each) for each in package.exchanges)):
            for name in dir(kind):
                if word in name and name == name.lower() and name[0] != "_" and callable(getattr(kind, name)):
                    yield kind, name


def test_no_method_about_orders_is_unknown() -> None:
    unknown = {
        name
        for _, name in names("order")
        if not is_order_method(name)
        and not (READS.fullmatch(name) or BUILDS.fullmatch(name) or name in NO_ORDERS or IMPLICIT.search(name))
    }
    assert unknown == set(), "a new method of ccxt: guard it (guard/client/ccxt_orders.py), or list it here with the reason"


def test_no_other_method_that_creates_opens_or_closes_is_unknown() -> None:
    known = {"create_deposit_address", "create_ccxt_trade_id", "create_expired_option_market", "create_ohlcv_object",
             "create_safe_dictionary", "create_sub_account"}  # fmt: skip
    found = {name for name in dir(ccxt.Exchange) if re.match(r"(create|open|close|place|submit)_", name) and "order" not in name}
    assert found - known == NO_MARKET


def test_every_order_method_says_what_it_trades_and_is_a_coroutine_where_it_should_be() -> None:
    for kind, name in names("order"):
        if not is_order_method(name):
            continue
        member = getattr(kind, name)
        words = inspect.signature(member).parameters
        assert {"symbol", "orders", "market"} & words.keys(), (kind, name)
        assert "side" in words or "orders" in words or re.search(r"_(buy|sell)_", name), (kind, name)
        is_async = ".async_support" in kind.__module__ or ".pro" in kind.__module__
        assert inspect.iscoroutinefunction(member) is is_async, (kind, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exchange_of_ccxt_can_be_guarded_and_refuses_each_way_to_buy(machine: Machine, package: Any) -> None:
    machine.publish(image(markets={}))
    guard = machine.guard()
    machine.pass_time(60, beats=False)
    for name in package.exchanges[::7]:
        kind = getattr(package, name)
        exchange = kind.__new__(kind)
        exchange.id, exchange.options, exchange.has, exchange.orders = name, {}, {}, None
        exchange.markets = {"X/USDT": {"symbol": "X/USDT", "spot": True}}
        guarded(exchange, guard, intents="explicit")
        for method in order_methods(kind):
            assert vars(exchange)[method] is not None
            words = method_of(getattr(kind, method)).places
            given = {"symbol": "X/USDT", "side": "buy", "orders": [{"symbol": "X/USDT", "side": "buy", "amount": 1}], "amount": 1,
                     "market": {"symbol": "X/USDT"}}  # fmt: skip
            known = {word: given[word] for word in words if word in given}
            if "_sell_" in method:
                continue
            with pytest.raises(OrderRefused):
                getattr(exchange, method)(**known).send(None)


def test_judging_an_order_takes_microseconds(machine: Machine) -> None:
    machine.publish(image(markets={}))
    exchange: Any = ccxt.binance()
    guarded(exchange, machine.guard(clocks=MACHINE._replace(boot_id="")), positions={})
    desk: CcxtDesk = exchange.guard_desk
    method = method_of(ccxt.binance.create_order.__get__(exchange))
    rounds, fastest = 2_000, 10**12
    for _ in range(5):
        began = MACHINE.boot_ns()
        for _ in range(rounds):
            desk.judge(method, ("X/USDT", "limit", "sell", 1.0, 1.0), {})
        fastest = min(fastest, MACHINE.boot_ns() - began)
    assert fastest / rounds < 10_000
