from __future__ import annotations

import csv
import gzip
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from guard.model import ASK, BID, Batch, Flag, Kind, MarketClass, Status
from guard_sim import tape
from guard_sim.schedule import Act
from guard_sim.sinks import CsvTape

if TYPE_CHECKING:
    from pathlib import Path

START_US = tape.START_US


def test_rows_come_in_order_of_time_and_messages_are_closed() -> None:
    book: dict[int, dict[int, dict[float, float]]] = {}
    at_us, is_open, trades = 0, False, 0
    for row in tape.events(duration_s=30.0):
        assert row.at_us >= at_us
        assert row.received_us == row.at_us + tape.LATENCY_US
        at_us = row.at_us
        if row.kind == Kind.LEVEL:
            sides = book.setdefault(row.market, {BID: {}, ASK: {}})
            sides[row.side][row.price] = row.amount
            is_open = not row.flags & Flag.LAST
            if not is_open:
                bid = max(price for price, amount in sides[BID].items() if amount)
                assert bid < min(price for price, amount in sides[ASK].items() if amount)
        else:
            assert not is_open
            trades += row.kind == Kind.TRADE
    assert trades > 400
    assert not is_open


def test_events_and_slices_of_a_batch_are_the_same_rows() -> None:
    batch, rows = Batch(), []
    for _ in tape.VirtualMarket(batch).play(10.0, slice_us=50_000):
        rows += [
            tape.Row(*columns)
            for columns in zip(
                *(getattr(batch, name)[: len(batch)] for name in tape.Row._fields),
                strict=True,
            )
        ]
        batch.clear()
    assert rows == list(tape.events(duration_s=10.0))


def test_the_past_comes_first_marked_and_closed_by_warm() -> None:
    rows = list(tape.events(duration_s=1.0, history_s=3600.0, schedule="calm"))
    past = [row for row in rows if row.flags & Flag.BACKFILL]
    assert len(past) > 2000
    assert all(row.at_us < START_US and row.received_us == START_US and row.amount > 0 for row in past)
    assert START_US - min(row.at_us for row in past) <= 3_600_000_000
    warm = [at for at, row in enumerate(rows) if row.kind == Kind.STATUS and row.key == Status.WARM]
    assert len(warm) == len(tape.facts())
    assert max(at for at, row in enumerate(rows) if row.flags & Flag.BACKFILL) < warm[-1]


def test_earlier_trades_come_as_plain_trades_in_order_of_time_and_join_the_live_ones() -> None:
    rows: list[tape.Row] = []
    tape.fill(tape._Rows(rows), duration_s=20.0, earlier_s=1800.0, schedule="calm", has_book=False)
    trades = [row for row in rows if row.kind == Kind.TRADE]
    assert all(before.at_us <= after.at_us for before, after in pairwise(trades))
    assert START_US - 1_800_000_000 <= trades[0].at_us < START_US - 1_700_000_000
    for market in range(3):
        keys = [row.key for row in trades if row.market == market]
        assert keys == list(range(keys[0], keys[0] + len(keys)))


def test_a_frozen_feed_writes_nothing_and_returns_with_a_gap_and_a_snapshot() -> None:
    rows = list(tape.events(duration_s=40.0, schedule=[Act("frozen_feed", "SOL/USDT", 5.0)], symbols=["SOL/USDT"]))
    frozen = [row for row in rows if row.market == 1]
    gap = next(row for row in frozen if row.kind == Kind.GAP)
    assert not [row for row in frozen if START_US + 5_000_000 < row.at_us < gap.at_us]
    assert gap.at_us - gap.key > 18_000_000
    after = frozen[frozen.index(gap) + 1]
    assert after.kind == Kind.LEVEL
    assert after.flags & Flag.SNAPSHOT


def test_chosen_rows_and_books_can_be_left_out() -> None:
    rows = list(tape.events(duration_s=5.0, rows={"SOL/USDT": 41}, has_book=False))
    assert {row.market for row in rows} == {41}
    assert {Kind(row.kind) for row in rows} == {Kind.STATUS, Kind.TRADE}


def test_facts_name_each_market_once_in_the_order_of_the_rows() -> None:
    facts = tape.facts(name="lab")
    assert [str(fact.market) for fact in facts][:2] == ["lab:BTC/USDT", "lab:ETH/USDT"]
    assert facts[0].market_class is MarketClass.MAJOR
    assert len(tape.facts(count=40)) == 40
    assert all(fact.tick and fact.lot and fact.volume_24h_usd for fact in facts)


def test_a_csv_tape_is_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with CsvTape(str(tmp_path / f"{name}.csv.gz")) as sink:
            tape.fill(sink, duration_s=20.0)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    with gzip.open(tmp_path / "one.csv.gz", "rt") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == sink.trades > 200
    assert list(rows[0]) == ["symbol", "timestamp", "datetime", "side", "price", "amount", "btc_volume"]
    first = rows[0]
    assert float(first["btc_volume"]) == pytest.approx(float(first["price"]) * float(first["amount"]))


def test_a_csv_tape_is_read_by_the_tape_reader_without_a_rejected_row(tmp_path: Path) -> None:
    from guard_tape.rows import TradeFile

    path = tmp_path / "sim.csv.gz"
    with CsvTape(str(path)) as sink:
        tape.fill(sink, duration_s=60.0)
    file = TradeFile(path, "sim")
    assert len(list(file)) == sink.trades
    assert (dict(file.rejected), file.repeated) == ({}, 0)
