from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import Disconnected, MalformedEvent
from guard.model import BUY, SELL, Flag
from guard_ccxt.rest.exchange_time import ExchangeTime
from guard_ccxt.stream.gate import ClockOffset, Gate, is_symbol

NOW = 1_700_000_000_000_000
SPECIAL = st.sampled_from(
    [
        None,
        True,
        False,
        "",
        "1",
        math.nan,
        math.inf,
        -math.inf,
        -1.0,
        0,
        0.0,
        -0.0,
        1e-320,
        1e308,
        10**400,
        -(10**400),
        [],
        {},
        1,
        1.5,
        2**63,
    ]
)


def a_trade(**changes: Any) -> dict[str, Any]:
    return {"price": 2.0, "amount": 3.0, "timestamp": NOW // 1000, "side": "buy", "id": "7"} | changes


@given(field=st.sampled_from(["price", "amount", "timestamp"]), value=SPECIAL | st.floats() | st.integers())
def test_no_number_passes_that_is_not_finite_positive_and_in_range(field: str, value: Any) -> None:
    try:
        row = Gate().trade(a_trade(**{field: value}), received_us=NOW)
    except MalformedEvent:
        return
    assert 0 < row.price <= 1e15
    assert 0 < row.amount <= 1e18
    assert math.isfinite(row.price * row.amount)
    assert 0 < row.at_us <= NOW
    assert not isinstance(value, (bool, str))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("price", None, "price_missing"),
        ("price", True, "price_not_a_number"),
        ("price", "1", "price_not_a_number"),
        ("price", math.nan, "price_not_finite"),
        ("price", -1.0, "price_not_positive"),
        ("amount", 0.0, "amount_not_positive"),
        ("amount", 10**400, "amount_out_of_range"),
        ("price", 1e16, "price_out_of_range"),
        ("timestamp", math.inf, "time_not_finite"),
    ],
)
def test_reason_names_the_field_and_what_is_wrong_with_it(field: str, value: Any, reason: str) -> None:
    with pytest.raises(MalformedEvent) as caught:
        Gate().trade(a_trade(**{field: value}), received_us=NOW)
    assert caught.value.reason == reason


@given(price=SPECIAL | st.floats(), amount=SPECIAL | st.floats())
def test_level_amount_is_zero_only_where_it_was_given_as_zero(price: Any, amount: Any) -> None:
    try:
        base = Gate(contract_size=0.01).level(price, amount)
    except MalformedEvent:
        return
    assert (base == 0) == (amount == 0)
    assert math.isfinite(base)
    assert base >= 0


def test_inverse_contracts_become_base_by_the_price() -> None:
    gate = Gate(contract_size=100.0, is_inverse=True)
    assert gate.trade(a_trade(price=50_000.0, amount=3.0), received_us=NOW).amount == pytest.approx(0.006)


def test_linear_contracts_become_base_by_their_size() -> None:
    assert Gate(contract_size=0.01).level(50_000.0, 3.0) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("side", "expected", "flags"), [("buy", BUY, 0), ("sell", SELL, 0), (None, 0, Flag.INFERRED_SIDE), ("?", 0, 8)]
)
def test_side_that_is_not_given_is_flagged(side: str | None, expected: int, flags: int) -> None:
    row = Gate().trade(a_trade(side=side), received_us=NOW)
    assert (row.side, row.flags) == (expected, flags)


def test_missing_time_is_the_time_of_arrival() -> None:
    assert Gate().trade(a_trade(timestamp=None), received_us=NOW + 5).at_us == NOW + 5


@pytest.mark.parametrize("stamp", [0, 1, NOW // 1000 + 90_000_000, NOW, 1e13])
def test_time_in_another_unit_or_of_another_age_is_refused(stamp: float) -> None:
    with pytest.raises(MalformedEvent, match="time_"):
        Gate().at_us(stamp, received_us=NOW)


def test_exchange_clock_that_runs_ahead_is_corrected_by_its_median() -> None:
    gate = Gate()
    ats = [gate.at_us((NOW + second * 1_000_000 + 3_000_000) // 1000, received_us=NOW + second * 1_000_000) for second in range(40)]
    assert gate.offset.offset_us == -3_000_000
    assert ats[-1] == NOW + 39_000_000
    # a late event keeps its delay
    assert gate.at_us((NOW + 38_000_000 + 3_000_000) // 1000, received_us=NOW + 40_000_000) == NOW + 38_000_000


def test_latency_is_not_taken_for_a_skewed_clock() -> None:
    offset = ClockOffset()
    for at in range(100):
        offset.observe(received_us=at + 250_000, exchange_us=at)
    assert (offset.offset_us, offset.latency_us) == (0, 250_000)


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=300))
def test_offset_never_moves_an_event_forward(delays: list[int]) -> None:
    offset = ClockOffset()
    for delay in delays:
        offset.observe(received_us=NOW + delay, exchange_us=NOW)
    assert offset.offset_us <= 0


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC-220527", "1000PEPE/USDT", "币安人生/USDT", "a.b/C_D"])
def test_symbols_of_exchanges_pass(symbol: str) -> None:
    assert is_symbol(symbol)


@pytest.mark.parametrize(
    "symbol",
    [None, 7, "", "BTC", "BTC/", "/USDT", "A B/USDT", "A/B/C", "A\n/B", "<b>/USDT", "A/B:", "\u202eA/USDT", "A" * 50 + "/B"],
)
def test_names_that_could_mislead_a_reader_do_not_pass(symbol: object) -> None:
    assert not is_symbol(symbol)


class Asked:
    """An exchange whose clock is off by `skew_us`; an answer takes 300 ms, and our own clock may be set by `jump_us` meanwhile."""

    def __init__(self, skew_us: int, *, jump_us: int = 0, answer: Any = None) -> None:
        self.skew_us, self.jump_us, self.answer = skew_us, jump_us, answer
        self.steady_us, self.set_us = 0, 0

    def now_us(self) -> int:
        return NOW + self.steady_us + self.set_us

    def monotonic_us(self) -> int:
        return self.steady_us

    async def sleep(self, seconds: float) -> None:
        self.steady_us += int(seconds * 1e6)

    async def ask(self) -> Any:
        self.steady_us += 150_000
        told = (self.now_us() + self.skew_us) / 1000
        self.steady_us += 150_000
        self.set_us += self.jump_us
        if isinstance(self.answer, Exception):
            raise self.answer
        return told if self.answer is None else self.answer


@pytest.mark.parametrize(("skew_s", "least", "most"), [(-90, 89.7, 90.0), (-2, 1.7, 2.0), (-0.9, 0, 0), (0, 0, 0), (30, 0, 0)])
async def test_clock_that_is_behind_is_corrected_to_within_the_time_of_a_request(skew_s: float, least: float, most: float) -> None:
    offset, asked = ClockOffset(), Asked(int(skew_s * 1e6))
    assert await ExchangeTime(asked.ask, offset, asked).look()
    assert least <= offset.offset_us / 1e6 <= most
    for _ in range(40):
        offset.observe(received_us=NOW, exchange_us=NOW - 80_000 + int(skew_s * 1e6))
    assert least <= offset.offset_us / 1e6 + (30 if skew_s == 30 else 0) <= most + 0.2


@pytest.mark.parametrize(
    "asked",
    [Asked(-90_000_000, jump_us=5_000_000), Asked(0, answer="soon"), Asked(0, answer=Disconnected("x")), Asked(0, answer=17)],
)
async def test_answer_that_tells_nothing_of_the_time_changes_nothing(asked: Asked) -> None:
    offset = ClockOffset()
    assert not await ExchangeTime(asked.ask, offset, asked).look()
    assert offset.offset_us == 0
