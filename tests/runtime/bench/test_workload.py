"""The stream has the shape that it claims, and is the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from guard.features.kernel import Kernel
from guard.features.tables import Leaf
from guard.model import Flag, Kind
from guard.runtime.bench.past import beginnings, past
from guard.runtime.bench.workload import START_US, Columns, Markets, batches, joined, stream, trades_of

EVENTS = 50_000


@pytest.fixture(scope="module")
def markets() -> Markets:
    return Markets(30)


@pytest.fixture(scope="module")
def columns(markets: Markets) -> Columns:
    return stream(markets, EVENTS, per_second=10_000)


def share(chosen: np.ndarray) -> float:
    return float(chosen.mean())


def test_shares_are_those_that_were_measured(columns: Columns) -> None:
    is_trade = columns.kind == int(Kind.TRADE)
    assert share(is_trade) == pytest.approx(0.30, abs=0.01)
    assert share(columns.amount[~is_trade] == 0.0) == pytest.approx(0.45, abs=0.01)
    assert share(np.diff(columns.at_us) == 0) == pytest.approx(0.15, abs=0.02)
    assert (columns.amount[is_trade] > 0.0).all()


def test_rate_is_the_one_that_was_asked_for(columns: Columns) -> None:
    seconds = (columns.at_us[-1] - columns.at_us[0]) / 1e6
    assert EVENTS / seconds == pytest.approx(10_000, rel=0.03)


def test_activity_falls_as_zipf_says(columns: Columns) -> None:
    counts = np.bincount(columns.market, minlength=30)
    assert counts[0] / counts[9] == pytest.approx(10**1.05, rel=0.15)
    assert counts.min() > 0


def test_time_never_goes_back_and_nothing_arrives_before_it_happened(columns: Columns) -> None:
    assert (np.diff(columns.at_us) >= 0).all()
    assert (columns.received_us > columns.at_us).all()


def test_same_seed_same_stream_and_another_seed_another_one(markets: Markets, columns: Columns) -> None:
    again = stream(markets, EVENTS, per_second=10_000)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(columns, again, strict=True))
    assert not np.array_equal(stream(markets, EVENTS, per_second=10_000, seed=8).price, columns.price)


def test_trades_alone_keep_their_order(columns: Columns) -> None:
    trades = trades_of(columns)
    assert set(trades.kind.tolist()) == {int(Kind.TRADE)}
    assert (np.diff(trades.key) > 0).all()


def test_book_is_never_crossed_and_everything_is_on_time(markets: Markets, columns: Columns) -> None:
    kernel = Kernel([Leaf("spread"), Leaf("crossed"), Leaf("volume", (5_000_000,))])
    for facts in markets.facts():
        kernel.open(facts)
    out = [0.0] * 3
    for batch in batches(joined(past(markets, seconds=20, minutes=0), columns)):
        plain = batch.plain()
        for number in range(len(plain)):
            kernel.apply(plain, number)
    for row in range(len(kernel)):
        at_us, received_us = kernel.last(row)
        kernel.read(row, at_us, received_us, out)
        spread, crossed, volume = out
        assert 0.0 < spread < 0.02
        assert crossed == 0.0
        assert volume > 0.0
        assert kernel.late(row) == 0


def test_past_ends_where_the_stream_begins(markets: Markets) -> None:
    rows = past(markets, seconds=30, per_market_s=1.0, minutes=60)
    assert int(rows.received_us.max()) <= START_US + 20_000
    assert share((rows.flags & int(Flag.BACKFILL)) != 0) > 0.3


def test_beginnings_name_every_market_once_and_in_order(markets: Markets) -> None:
    assert beginnings(markets).market.tolist() == list(range(30))


def test_batches_are_cut_where_they_are_told_and_nothing_is_lost(columns: Columns) -> None:
    cut = batches(columns.where(slice(0, 2_500)), 1_000)
    assert [len(batch) for batch in cut] == [1_000, 1_000, 500]
