"""One stream of trades carried by two connections: nothing lost, nothing doubled, wherever each of them is behind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard_ccxt.stream.gate import TradeRow
from guard_ccxt.stream.overlap import Overlap


def trade(number: int, *, is_named: bool, price: float = 1.0) -> TradeRow:
    return TradeRow(1_000_000_000 + number * 1000, price, 5.0, 1, number if is_named else 0, 0)


@settings(max_examples=300, deadline=None)
@given(
    prices=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=40),
    is_named=st.booleans(),
    data=st.data(),
)
def test_every_trade_is_delivered_once_in_order_however_the_connections_interleave(
    *, prices: list[float], is_named: bool, data: st.DataObject
) -> None:
    trades = [trade(number + 1, is_named=is_named, price=price) for number, price in enumerate(prices)]
    order = data.draw(st.lists(st.booleans(), min_size=0, max_size=80))
    begin = data.draw(st.integers(0, 10))
    # The old connection carries `before` trades alone; then both carry what follows, each at its own pace.
    before = [trade(-number, is_named=is_named, price=2.0) for number in range(begin, 0, -1)]
    overlap = Overlap(frozenset(), since_us=None)
    out: list[TradeRow] = []
    for row in before:
        overlap.delivered(row)
    now_us = 10
    old = fresh = 0
    for is_fresh in order:
        now_us += 1
        if is_fresh and fresh < len(trades):
            overlap.fresh(trades[fresh], now_us)
            fresh += 1
        elif not is_fresh and old < len(trades):
            overlap.delivered(trades[old])
            out.append(trades[old])
            old += 1
    out += [row for row, _ in overlap.switch()]
    for row in trades[fresh:]:
        if not overlap.is_late(row):
            out.append(row)
    assert [(row.price, row.key) for row in out] == [(row.price, row.key) for row in trades]


@pytest.mark.parametrize("is_named", [True, False])
def test_old_trades_that_are_resent_at_the_beginning_are_not_delivered_again(*, is_named: bool) -> None:
    first, second, third = (trade(number, is_named=is_named) for number in (1, 2, 3))
    overlap = Overlap(frozenset({1, 2} if is_named else ()), since_us=second.at_us)
    for row in (first, second, third):
        overlap.fresh(row, 5)
    assert [row for row, _ in overlap.switch()] == [third]


def test_equal_trade_after_the_switch_is_not_taken_for_one_of_before_the_fresh_connection_began() -> None:
    overlap = Overlap(frozenset(), since_us=None)
    overlap.delivered(trade(1, is_named=False))
    assert overlap.switch() == []
    assert not overlap.is_late(trade(2, is_named=False))
    assert overlap.is_late(trade(1, is_named=False))


def test_fresh_connection_far_ahead_says_that_it_must_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard_ccxt.stream.overlap._ROWS_MAX", 10)
    overlap = Overlap(frozenset(), since_us=None)
    for number in range(10):
        assert not overlap.is_full
        overlap.fresh(trade(number + 1, is_named=True), number)
    assert overlap.is_full
    for number in range(10):
        overlap.delivered(trade(number + 1, is_named=True))
    assert not overlap.is_full
    assert overlap.switch() == []


def test_what_the_old_connection_alone_delivers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard_ccxt.stream.overlap._ROWS_MAX", 10)
    overlap = Overlap(frozenset(), since_us=None)
    for number in range(100):
        overlap.delivered(trade(number + 1, is_named=True))
    assert len(overlap._behind) == len(overlap._order) == 10
