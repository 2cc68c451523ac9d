"""What an exchange says of a market besides prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard_ccxt.markets.facts import market_facts
from guard_ccxt.markets.listings import Listings
from guard_ccxt.markets.treatment import RISKS, treatment

if TYPE_CHECKING:
    from pathlib import Path

DUE_MS = 1_790_000_000_000
DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("exchange", "market", "tags"),
    [
        ("binance", {"spot": True, "info": {"status": "TRADING"}}, set()),
        ("binance", {"spot": True, "info": {"status": "BREAK"}}, {"halted"}),
        ("binance", {"spot": True, "info": {"status": "HALT"}}, {"halted"}),
        ("binance", {"spot": True, "info": {"status": "TRADING", "tags": ["Monitoring", "Seed"]}}, {"monitoring", "seed"}),
        ("binanceusdm", {"contract": True, "info": {"status": "SETTLING"}}, {"delisting"}),
        ("binanceusdm", {"info": {"contractType": "PERPETUAL", "deliveryDate": "4133404800000"}}, set()),
        ("binanceusdm", {"info": {"contractType": "PERPETUAL", "deliveryDate": DUE_MS}}, {"delisting"}),
        ("binanceusdm", {"info": {"contractType": "CURRENT_QUARTER", "deliveryDate": DUE_MS}}, set()),
        ("binanceusdm", {"active": False, "info": {"status": "PENDING_TRADING"}}, {"premarket"}),
        ("kucoin", {"info": {"enableTrading": True, "st": True, "callauctionIsEnabled": False}}, {"st"}),
        ("kucoin", {"info": {"enableTrading": False, "st": False}}, {"halted"}),
        ("kucoin", {"active": False, "info": {"enableTrading": False, "callauctionIsEnabled": True}}, {"premarket"}),
        ("kucoinfutures", {"swap": True, "info": {"status": "Paused", "expireDate": None}}, {"halted"}),
        ("gate", {"info": {"trade_status": "tradable", "st_tag": False, "delisting_time": 0}}, set()),
        ("gate", {"active": True, "info": {"trade_status": "untradable"}}, {"halted"}),
        ("gate", {"info": {"trade_status": "sellable", "st_tag": True, "delisting_time": DUE_MS // 1000}}, {"delisting", "st"}),
        ("gate", {"swap": True, "info": {"in_delisting": True}}, {"delisting"}),
        ("okx", {"spot": True, "info": {"state": "live", "expTime": ""}}, set()),
        ("okx", {"spot": True, "info": {"state": "live", "expTime": str(DUE_MS)}}, {"delisting"}),
        ("okx", {"future": True, "info": {"state": "live", "expTime": str(DUE_MS)}}, set()),
        ("okx", {"swap": True, "active": False, "info": {"state": "suspend"}}, {"halted"}),
        ("bybit", {"spot": True, "info": {"status": "Trading", "innovation": "1", "stTag": "1"}}, {"innovation", "st"}),
        ("bybit", {"spot": True, "info": {"status": "Trading", "innovation": "0", "stTag": "0"}}, set()),
        ("bybit", {"swap": True, "info": {"status": "Trading", "deliveryTime": "0"}}, set()),
        ("bybit", {"swap": True, "info": {"status": "Trading", "deliveryTime": str(DUE_MS)}}, {"delisting"}),
        ("bitget", {"spot": True, "info": {"status": "online", "offTime": str(DUE_MS)}}, {"delisting"}),
        ("bitget", {"spot": True, "info": {"status": "online", "offTime": "-1"}}, set()),
        ("mexc", {"info": {"st": True}}, {"st"}),
        ("nobody", {"active": False, "info": {}}, {"halted"}),
    ],
)
def test_what_an_exchange_says_becomes_tags(exchange: str, market: dict[str, Any], tags: set[str]) -> None:
    assert treatment(exchange, market).tags == tags


def test_the_risk_is_the_greatest_of_its_tags_zero_where_the_exchange_would_say_and_unknown_where_nobody_does() -> None:
    assert treatment("gate", {"info": {"trade_status": "tradable", "st_tag": True}}).risk == RISKS["st"]
    assert treatment("gate", {"info": {"trade_status": "tradable"}}).risk == 0.0
    assert treatment("nobody", {"info": {"x": 1}}).risk is None
    assert treatment("gate", {"info": None}).risk is None


def test_the_end_of_trading_is_read_in_seconds_and_in_milliseconds() -> None:
    assert treatment("gate", {"info": {"delisting_time": DUE_MS // 1000}}).ends_us == DUE_MS * 1000
    assert treatment("okx", {"info": {"expTime": str(DUE_MS)}}).ends_us == DUE_MS * 1000


ANYTHING = st.sampled_from(
    [None, True, 0, -1, 10**30, 1.5, float("nan"), float("inf"), "", "x", "1", "nan", "1e999", [], ["st", None], {}]
)
KEYS = (
    "status",
    "st",
    "tags",
    "st_tag",
    "deliveryDate",
    "contractType",
    "expTime",
    "delisting_time",
    "trade_status",
    "state",
    "offTime",
)


@given(
    st.sampled_from(["binance", "kucoin", "gate", "okx", "bybit", "bitget", "x"]),
    st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=6) | st.none(),
    st.sampled_from([True, False, None]),
)
def test_whatever_stands_there_nothing_fails(exchange: str, info: dict[str, Any] | None, active: bool | None) -> None:  # noqa: FBT001 - a value
    found = treatment(exchange, {"info": info, "active": active})
    assert found.tags <= set(RISKS)
    assert found.risk is None or 0.0 <= found.risk <= 1.0


def test_facts_carry_tags_risk_and_age() -> None:
    now_us = 1_800_000_000_000_000
    market = {"symbol": "A/USDT", "type": "spot", "base": "A", "quote": "USDT", "spot": True}
    told = [
        {**market, "info": {"tradingStartTime": (now_us - DAY_US) // 1000, "st": True}},
        {**market, "symbol": "B/USDT", "created": (now_us - 9 * DAY_US) // 1000, "info": {"st": False}},
        {**market, "symbol": "C/USDT", "info": {"st": False}},
        {**market, "symbol": "D/USDT", "info": {"st": False}},
    ]
    seen = {"C/USDT": now_us - DAY_US}
    facts = market_facts("k", told, {}, streams=frozenset({"trades"}), id="kucoin", listed_us=seen.get, now_us=now_us)
    assert [sorted(each.tags) for each in facts] == [["new", "st"], [], ["new"], []]
    assert [each.listing_risk for each in facts] == [0.7, 0.0, 0.0, 0.0]
    assert [each.listed_us and (now_us - each.listed_us) // DAY_US for each in facts] == [1, 9, 1, None]


def test_what_came_later_was_listed_then_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "listed.json"
    listings = Listings(path)
    assert listings.see(["A/USDT"], now_us=10)
    assert not listings.see(["A/USDT"], now_us=20)
    listings.see(["A/USDT", "B/USDT"], now_us=30)
    listings.write()
    again = Listings(path)
    again.see(["A/USDT", "B/USDT", "C/USDT"], now_us=40)
    assert [again.listed_us(f"{base}/USDT") for base in "ABC"] == [None, 30, 40]


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '{"A": "x"}', "null"])
def test_a_damaged_file_is_an_empty_memory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "listed.json"
    path.write_text(text)
    listings = Listings(path)
    listings.see(["A/USDT"], now_us=10)
    assert listings.listed_us("A/USDT") is None


def test_the_first_daily_candle_tells_the_age_unless_the_exchange_answered_with_its_latest() -> None:
    from pathlib import Path as AnyPath

    listings, now_us = Listings(AnyPath("/nowhere/x.json")), 1_800_000_000_000_000
    listings.see(["A/USDT", "B/USDT"], now_us=now_us)
    assert listings.unknown(["A/USDT", "B/USDT"], most=9) == ["A/USDT", "B/USDT"]
    assert listings.unknown(["A/USDT"], most=9) == []
    first_ms = (now_us - 500 * DAY_US) // 1000
    assert listings.take_candles("A/USDT", [[first_ms, 1, 1, 1, 1, 1]], now_us=now_us)
    assert not listings.take_candles("B/USDT", [[(now_us - DAY_US) // 1000, 1, 1, 1, 1, 1]], now_us=now_us)
    assert not listings.take_candles("B/USDT", [], now_us=now_us)
    assert (listings.listed_us("A/USDT"), listings.listed_us("B/USDT")) == (first_ms * 1000, None)
