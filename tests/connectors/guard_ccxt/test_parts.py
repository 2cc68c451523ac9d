"""The small pure parts: back-off, options, facts, candles, the judgement of a repair, and faults."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import ccxt
import pytest
from ccxt_support import FixedChance, StillClock, context
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import ConfigurationError, Disconnected, MalformedEvent, RateLimited
from guard.model import Flag
from guard_ccxt import CcxtConnector
from guard_ccxt.connections.backoff import Backoff
from guard_ccxt.connections.faults import Fault, classify, translated
from guard_ccxt.markets.facts import market_facts
from guard_ccxt.options import read_options
from guard_ccxt.rest.candles import candle_rows
from guard_ccxt.stream.gate import Gate, TradeRow
from guard_ccxt.stream.repair import assess

NOW = 1_700_000_000_000_000


def test_backoff_doubles_its_ceiling_up_to_a_minute_and_forgets_after_a_minute_of_data() -> None:
    backoff = Backoff(FixedChance(1.0))
    assert [backoff.next_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.next_s(delivered_s=59.0) == 60
    assert backoff.next_s(delivered_s=60.0) == 0.5


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 100))
def test_backoff_is_bounded_for_any_chance(chance: float, attempts: int) -> None:
    backoff = Backoff(FixedChance(chance))
    assert all(0 <= backoff.next_s() <= 60 for _ in range(attempts))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"apiKey": "x"}, "needs no keys"),
        ({"options": {"secret": "x"}}, "needs no keys"),
        ({"credentials": {"a": 1}}, "needs no keys"),
        ({"book_depth": 5}, "unknown option 'book_depth'"),
        ({"book_limit": 0}, "book_limit is 0"),
        ({"book_limit": True}, "book_limit is True"),
        ({"stall_after_s": "1m"}, "stall_after_s is '1m'"),
        ({"stall_after_s": float("nan")}, "stall_after_s is nan"),
        ({"urls": "http://x"}, "urls is 'http://x'"),
        ({"types": "spot"}, "types is 'spot'"),
        ({"dummy_keys": True}, "127.0.0.1 only"),
        ({"dummy_keys": True, "urls": {"api": {"ws": "wss://example.com"}}}, "127.0.0.1 only"),
    ],
)
def test_options_that_cannot_be_used_are_refused_with_the_reason(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CcxtConnector(context("kucoin", options, StillClock()))
    assert words in str(caught.value)
    assert "exchange kucoin" in str(caught.value)


def test_all_mistakes_are_told_in_one_run() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_options("kucoin", {"book_limit": -1, "urls": 3, "apiKey": "x"})
    assert len(caught.value.problems) == 3


async def test_unknown_exchange_is_refused_at_open_with_near_names() -> None:
    with pytest.raises(ConfigurationError, match="binance"):
        await CcxtConnector(context("binanse", {}, StillClock())).open()


def test_importing_the_connector_does_not_import_ccxt() -> None:
    program = (
        "import sys; sys.path[:0] = ['.', 'connectors']; import guard_ccxt; print('ccxt' in sys.modules, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_connector_has_no_way_to_place_an_order() -> None:
    public = {name for name in dir(CcxtConnector) if not name.startswith("_")}
    reading = {"open", "markets", "glance", "history", "stream", "follow", "resync", "close", "health"}
    assert public == {"catalogue", "check_options", "probe", *reading}


def a_market(symbol: str, **changes: Any) -> dict[str, Any]:
    base, _, rest = symbol.partition("/")
    return {"symbol": symbol, "base": base, "quote": rest.partition(":")[0], "type": "spot", "spot": True, "active": True} | changes


def test_markets_are_classed() -> None:
    markets = [
        a_market("BTC/USDT"),
        a_market("ETH/BTC"),
        a_market("BTC3L/USDT"),
        a_market("BTCDOWN/USDT"),
        a_market("JUP/USDT"),
        a_market("USDC/USDT"),
        a_market("EUR/USDT"),
        a_market("PEPE/USDT"),
        a_market("BTC/USDT:USDT", type="swap", spot=False, linear=True, contractSize=0.001),
        a_market("BTC/USD:BTC-220527", type="future", spot=False, inverse=True, contractSize=100.0),
    ]
    facts = market_facts("x", markets, {}, streams=frozenset({"trades"}))
    classes = [str(fact.market_class) for fact in facts]
    assert classes == ["major", "major", "leveraged", "leveraged", "spot", "stable", "fiat", "spot", "perp", "dated"]
    assert (facts[-1].contract_size, facts[-1].is_inverse) == (100.0, True)


def test_markets_that_are_nameless_or_options_are_left_out_and_closed_ones_are_halted() -> None:
    markets = [
        a_market("A/USDT", active=False),
        a_market("A B/USDT"),
        a_market("A/USDT", type="option"),
        a_market("B/USDT", active=None),
    ]
    facts = market_facts("x", markets, {}, streams=frozenset())
    assert [(str(fact.market), sorted(fact.tags)) for fact in facts] == [("x:A/USDT", ["halted"]), ("x:B/USDT", [])]


def test_types_choose_markets_in_ccxts_or_the_exchanges_words() -> None:
    markets = [a_market("A/USDT"), a_market("A/USDT:USDT", type="swap", spot=False, linear=True)]
    for types, symbol in ((["spot"], "A/USDT"), (["linear"], "A/USDT:USDT"), (["swap"], "A/USDT:USDT")):
        assert [fact.market.symbol for fact in market_facts("x", markets, {}, streams=frozenset(), types=types)] == [symbol]


def test_turnover_and_rate_come_from_tickers_and_are_unknown_without() -> None:
    tickers = {
        "AST/BTC": {"quoteVolume": 2.0},
        "BTC/USDT": {"last": 50_000.0, "quoteVolume": float("nan")},
        "USDT/TRY": {"last": 40.0},
    }
    markets = [a_market("AST/BTC"), a_market("BTC/USDT"), a_market("X/TRY"), a_market("X/BNB")]
    facts = market_facts("x", markets, tickers, streams=frozenset())
    assert [(fact.usd_rate, fact.volume_24h_usd) for fact in facts] == [
        (50_000.0, 100_000.0),
        (1.0, None),
        (0.025, None),
        (None, None),
    ]


PRICE = st.floats(1e-6, 1e6)


@given(PRICE, PRICE, PRICE, PRICE, st.floats(1e-6, 1e9))
def test_rows_of_a_candle_sum_to_its_volume_and_stay_in_its_minute(
    first: float, one: float, two: float, last: float, volume: float
) -> None:
    prices = (first, one, two, last)
    rows = candle_rows([NOW // 1000, first, max(prices), min(prices), last, volume], Gate(), now_us=NOW + 10**9)
    assert 1 <= len(rows) <= 4
    assert sum(row.amount for row in rows) == pytest.approx(volume)
    assert {row.price for row in rows} <= set(prices)
    assert (rows[0].price, rows[-1].price) == (first, last)
    assert [row.at_us for row in rows] == sorted({row.at_us for row in rows})
    assert rows[0].at_us >= NOW
    assert rows[-1].at_us < NOW + 60_000_000
    assert all(row.flags == Flag.INFERRED_SIDE for row in rows)


def test_flat_candle_is_one_row_without_a_side_and_an_empty_one_none() -> None:
    assert [(row.price, row.side) for row in candle_rows([NOW // 1000, 5.0, 5.0, 5.0, 5.0, 2.0], Gate(), now_us=NOW)] == [(5.0, 0)]
    assert candle_rows([NOW // 1000, 5.0, 5.0, 5.0, 5.0, 0.0], Gate(), now_us=NOW) == []


def test_candle_with_an_impossible_number_is_refused() -> None:
    with pytest.raises(MalformedEvent):
        candle_rows([NOW // 1000, 5.0, float("inf"), 5.0, 5.0, 2.0], Gate(), now_us=NOW)


def row(key: int, at_us: int) -> TradeRow:
    return TradeRow(at_us, 1.0, 1.0, 1, key, 0)


@pytest.mark.parametrize(
    ("answer", "held", "missing", "is_closed"),
    [
        ([row(5, 100), row(6, 110)], [], [6], True),  # reaches a delivered trade
        ([row(4, 90), row(6, 110)], [], [6], True),  # reaches behind the hole
        ([row(6, 110)], [], [6], False),  # may begin too late
        ([row(5, 100), row(6, 110), row(7, 120)], [row(7, 120)], [6], True),  # meets the stream
        ([row(5, 100), row(6, 110)], [row(8, 130)], [6], False),  # may end too early
        ([row(5, 100), row(0, 110)], [], [0], False),  # cannot be told apart
        ([], [], [], False),
    ],
)
def test_hole_is_closed_only_where_both_ends_are_proven(
    answer: list[TradeRow],
    held: list[TradeRow],
    missing: list[int],
    is_closed: bool,  # noqa: FBT001  # a parameter of the case
) -> None:
    fetched = assess(answer, known=frozenset({5}), held=held, since_us=100)
    assert ([one.key for one in fetched.missing], fetched.is_closed) == (missing, is_closed)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ccxt.ChecksumError("x"), Fault.RESYNC),
        (ccxt.InvalidNonce("x"), Fault.RESYNC),
        (ccxt.UnsubscribeError("x"), Fault.RESYNC),
        (ccxt.DDoSProtection("x"), Fault.PAUSE),
        (ccxt.RateLimitExceeded("x"), Fault.PAUSE),
        (ccxt.OnMaintenance("x"), Fault.MAINTENANCE),
        (ccxt.ExchangeNotAvailable("x"), Fault.NETWORK),
        (ccxt.RequestTimeout("x"), Fault.NETWORK),
        (ccxt.BadSymbol("x"), Fault.PERMANENT),
        (ccxt.NotSupported("x"), Fault.PERMANENT),
        (ccxt.AuthenticationError("x"), Fault.PERMANENT),
        (ccxt.BadRequest("x"), Fault.REQUEST),
        (ccxt.ExchangeError("x"), Fault.NETWORK),
        (KeyError("x"), Fault.NETWORK),
    ],
)
def test_errors_are_classed_by_what_to_do(error: Exception, fault: Fault) -> None:
    assert classify(error) is fault


def test_foreign_errors_are_translated() -> None:
    assert isinstance(translated(ccxt.DDoSProtection("x"), "asking", retry_after_s=3.0), RateLimited)
    assert isinstance(translated(ccxt.BadSymbol("x"), "asking", retry_after_s=0.0), Disconnected)
