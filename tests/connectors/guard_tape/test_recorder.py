"""Recording while it happens: segments without a seam, a full disk, a full queue, a damaged segment, and a clock that jumps."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guard.client.clock import pause
from guard.errors import StateError
from guard.model import ASK, BID, BUY, Batch, Channel, Flag, Kind, Market, MarketFacts, Status
from guard_tape import Keep, Limits, Recorder, Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("pyarrow")

S = 1_000_000
T0 = 1_700_000_000 * S
ROOMY = Limits(free_bytes=0)


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.wall_us, self.passed_us = T0, 0

    def now_us(self) -> int:
        return self.wall_us

    def monotonic_us(self) -> int:
        return self.passed_us


def facts(number: int) -> MarketFacts:
    return MarketFacts(Market("x", f"C{number}/USDT"))


def trades(first: int, count: int, *, market: int = 0) -> Batch:
    batch = Batch(count)
    for key in range(first, first + count):
        at_us = T0 + key * 1000
        batch.append(Kind.TRADE, market, at_us=at_us, received_us=at_us + 5, price=1.0 + key, amount=2.0, side=BUY, key=key)
    return batch


def book(
    at_us: int, levels: list[tuple[int, float, float]], *, market: int = 0, snapshot: bool = False, last: bool = True
) -> Batch:
    batch = Batch(len(levels))
    flags = Flag.SNAPSHOT if snapshot else Flag.NONE
    for place, (side, price, amount) in enumerate(levels):
        ends = last and place == len(levels) - 1
        mark = int(flags | Flag.LAST) if ends else int(flags)
        batch.append(Kind.LEVEL, market, at_us=at_us, received_us=at_us, price=price, amount=amount, side=side, key=0, flags=mark)
    return batch


def live(market: int = 0) -> Batch:
    batch = Batch(1)
    batch.append(Kind.STATUS, market, at_us=T0, received_us=T0, side=Channel.ALL, key=Status.LIVE)
    return batch


def rows_of(*paths: Path) -> list[tuple[Any, ...]]:
    """Return kind, symbol, key, price and amount of each row."""
    markets: list[MarketFacts] = []
    found = []
    for opened, batch in Tape(paths, exchange="x").batches(1000):
        markets += opened
        plain = batch.plain()
        columns = zip(plain.kind, plain.market, plain.key, plain.price, plain.amount, strict=True)
        found += [(kind, markets[market].market.symbol, key, price, amount) for kind, market, key, price, amount in columns]
    return found


def keys_of(*paths: Path) -> list[int]:
    return [row[2] for row in rows_of(*paths) if row[0] == Kind.TRADE]


def until(is_so: Callable[[], Any]) -> None:
    for _ in range(400):
        if is_so():
            return
        pause(0.025)
    raise AssertionError("it did not come to that within ten seconds")


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def recorders() -> Iterator[list[Recorder]]:
    made: list[Recorder] = []
    yield made
    for each in made:
        each.close()


def test_what_was_taken_is_on_the_recording_in_order(tmp_path: Path, clock: Hands) -> None:
    recorder = Recorder(tmp_path / "one.parquet", clock=clock, limits=ROOMY)
    assert recorder.market(facts(0)) == 0
    for first in range(0, 5000, 50):
        recorder.append(trades(first, 50))
    assert recorder.market(facts(1)) == 1
    recorder.append(trades(5000, 10, market=1))
    assert recorder.close()
    assert recorder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["one.parquet"]
    rows = rows_of(tmp_path / "one.parquet")
    assert [row[2] for row in rows] == list(range(5010))
    assert {row[1] for row in rows[5000:]} == {"C1/USDT"}


def test_segments_follow_each_other_without_a_seam(tmp_path: Path, clock: Hands) -> None:
    recorder = Recorder(tmp_path, clock=clock, limits=ROOMY)
    recorder.market(facts(0))
    recorder.append(live())
    recorder.append(book(T0, [(BID, 9.0, 1.0), (ASK, 11.0, 1.0)], snapshot=True))
    for number in range(3):
        recorder.append(trades(number * 10, 10))
        until(lambda: not recorder.health().waiting)
        clock.passed_us += 3_600 * S
        until(lambda seen=number: len(list(tmp_path.glob("*.parquet"))) == seen + 1)
    assert recorder.close()
    segments = sorted(tmp_path.glob("*.parquet"))
    whole = rows_of(tmp_path)
    assert [row[2] for row in whole if row[0] == Kind.TRADE] == list(range(30))
    assert len(whole) == 33
    assert rows_of(*reversed(segments)) == whole
    # One of them alone begins with what stood; two that leave one out have a gap.
    alone = rows_of(segments[1])
    assert [row[0] for row in alone[:3]] == [Kind.STATUS, Kind.LEVEL, Kind.LEVEL]
    assert [row[2] for row in alone[3:]] == list(range(10, 20))
    torn = rows_of(segments[0], segments[2])
    assert [row[0] for row in torn[13:17]] == [Kind.GAP, Kind.STATUS, Kind.LEVEL, Kind.LEVEL]
    assert "1 segments before it are not here" in str(Tape([segments[0], segments[2]], exchange="x").holes)


def test_a_segment_never_ends_within_a_book_message(tmp_path: Path, clock: Hands) -> None:
    recorder = Recorder(tmp_path, clock=clock, limits=ROOMY)
    recorder.market(facts(0))
    recorder.append(book(T0, [(BID, 9.0, 1.0), (BID, 8.0, 1.0)], snapshot=True, last=False))
    until(lambda: not recorder.health().waiting)
    clock.passed_us += 3_600 * S
    pause(0.4)
    assert not list(tmp_path.glob("*.parquet"))
    recorder.append(book(T0, [(ASK, 11.0, 1.0)], snapshot=True))
    until(lambda: list(tmp_path.glob("*.parquet")))
    recorder.append(book(T0 + S, [(BID, 8.0, 0.0)]))
    assert recorder.close()
    last = max(tmp_path.glob("*.parquet"))
    *stood, change = [row[3:] for row in rows_of(last)]
    assert sorted(stood) == [(8.0, 1.0), (9.0, 1.0), (11.0, 1.0)]
    assert change == (8.0, 0.0)


def test_a_full_disk_leaves_a_marked_hole_and_recording_goes_on(tmp_path: Path, clock: Hands, recorders: list[Recorder]) -> None:
    recorder = Recorder(tmp_path, clock=clock, limits=ROOMY)
    recorders.append(recorder)
    recorder.market(facts(0))
    recorder.append(live())
    recorder.append(book(T0, [(BID, 9.0, 1.0), (ASK, 11.0, 1.0)], snapshot=True))
    recorder.append(trades(0, 1000))
    until(lambda: not recorder.health().waiting)
    pause(0.3)
    (segment,) = tmp_path.glob("*.arrows")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 700, hard))
    try:
        recorder.append(trades(1000, 5000))
        until(lambda: recorder.health().problem)
        recorder.append(book(T0 + 6000 * 1000, [(BID, 9.0, 3.0)]))
        recorder.market(facts(1))
        recorder.append(trades(6000, 10, market=1))
        until(lambda: not recorder.health().waiting)
        assert recorder.health().lost == 5_011
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    clock.passed_us += 6 * S
    until(lambda: recorder.health().problem is None)
    recorder.append(trades(7000, 10))
    assert recorder.close()
    rows = rows_of(tmp_path)
    assert [row[2] for row in rows if row[0] == Kind.TRADE] == [*range(1000), *range(7000, 7010)]
    (first, *_) = [place for place, row in enumerate(rows) if row[0] == Kind.GAP]
    after = rows[first:]
    assert [row[1] for row in after if row[0] == Kind.GAP] == ["C0/USDT", "C1/USDT"]
    assert {row[3:] for row in after if row[0] == Kind.LEVEL} == {(9.0, 3.0), (11.0, 1.0)}, "the book as it stands after the hole"
    (hole,) = Tape([tmp_path], exchange="x").holes
    assert (hole["rows"], hole["reason"]) == (5_011, os.strerror(27))


def test_a_queue_that_is_full_drops_counts_and_marks(tmp_path: Path, clock: Hands) -> None:
    recorder = Recorder(tmp_path / "q.parquet", clock=clock, limits=ROOMY, rows_max=100)
    recorder.market(facts(0))
    recorder.append(trades(0, 100))
    recorder.append(trades(100, 50))
    recorder.append(trades(150, 50))
    assert recorder.health().lost == 100
    until(lambda: not recorder.health().waiting)
    recorder.append(trades(200, 50))
    assert recorder.close()
    assert keys_of(tmp_path / "q.parquet") == [*range(100), *range(200, 250)]
    (hole,) = Tape([tmp_path / "q.parquet"], exchange="x").holes
    assert hole["rows"] == 100
    assert [row[0] for row in rows_of(tmp_path / "q.parquet")].count(Kind.GAP) == 1


def test_two_recorders_never_share_a_folder(tmp_path: Path, clock: Hands, recorders: list[Recorder]) -> None:
    recorders.append(Recorder(tmp_path, clock=clock))
    with pytest.raises(StateError, match="another process records"):
        Recorder(tmp_path, clock=clock)
    recorders[0].close()
    recorders.append(Recorder(tmp_path, clock=clock))


def test_a_clock_that_jumps_back_overwrites_nothing(tmp_path: Path, clock: Hands) -> None:
    for run, jump_us in enumerate([0, 0, -3_600 * S]):
        clock.wall_us += jump_us
        recorder = Recorder(tmp_path, clock=clock, limits=ROOMY)
        recorder.market(facts(0))
        recorder.append(trades(100 * run, 100))
        assert recorder.close()
    assert len(list(tmp_path.glob("*.parquet"))) == 3
    assert sorted(keys_of(tmp_path)) == list(range(300))


def test_the_oldest_segments_go_first_and_never_the_live_one(tmp_path: Path, clock: Hands) -> None:
    clock.wall_us = int(Path(__file__).stat().st_atime * S)
    recorder = Recorder(tmp_path, clock=clock, limits=ROOMY, keep=Keep(bytes=8_000))
    recorder.market(facts(0))
    for number in range(5):
        recorder.append(trades(number * 100, 100))
        until(lambda: not recorder.health().waiting)
        clock.passed_us += 3_600 * S
        until(lambda seen=number: recorder.health().segments > seen and not list(tmp_path.glob("*.arrows")))
    assert recorder.close()
    assert recorder.health().let_go
    kept = keys_of(tmp_path)
    assert kept == list(range(kept[0], 500))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.parquet")) <= 8_000
    assert "begins with segment" not in str(Tape([tmp_path], exchange="x").course)


@pytest.mark.parametrize("place", [200, -1])
def test_a_damaged_compacted_segment_is_told_by_name_and_the_others_are_read(tmp_path: Path, clock: Hands, place: int) -> None:
    test_segments_follow_each_other_without_a_seam(tmp_path, clock)
    second = sorted(tmp_path.glob("*.parquet"))[1]
    broken = bytearray(second.read_bytes())
    broken[place] ^= 0xFF
    second.write_bytes(broken)
    rows = rows_of(tmp_path)
    assert [row[2] for row in rows if row[0] == Kind.TRADE] == [*range(10), *range(20, 30)]
    first_behind = next(number for number, row in enumerate(rows) if row[2] == 20)
    assert any(row[0] == Kind.GAP for row in rows[10:first_behind])
    tape = Tape([tmp_path], exchange="x")
    list(tape.batches(100))
    assert second.name in {hole["file"] for hole in tape.holes}


def test_ten_thousand_markets_are_recorded_and_begin_each_segment(tmp_path: Path, clock: Hands) -> None:
    recorder = Recorder(tmp_path, clock=clock, limits=ROOMY)
    batch = Batch(10_000)
    for number in range(10_000):
        recorder.market(facts(number))
        batch.append(Kind.TRADE, number, at_us=T0, received_us=T0, price=1.0, amount=1.0, side=BUY, key=number)
    recorder.append(batch)
    until(lambda: not recorder.health().waiting)
    clock.passed_us += 3_600 * S
    until(lambda: list(tmp_path.glob("*.parquet")))
    recorder.append(trades(20_000, 1, market=9_999))
    assert recorder.close()
    assert rows_of(sorted(tmp_path.glob("*.parquet"))[1])[-1][:3] == (Kind.TRADE, "C9999/USDT", 20_000)
    assert len(rows_of(tmp_path)) == 10_001


def test_a_choice_of_markets_and_events_is_numbered_anew_and_is_no_course(tmp_path: Path, clock: Hands) -> None:
    recorder = Recorder(
        tmp_path / "c.parquet",
        clock=clock,
        limits=ROOMY,
        chooses=lambda each: each.market.symbol != "C0/USDT",
        kinds=frozenset({int(Kind.TRADE)}),
    )
    recorder.course({"rules": {"a": []}})
    for number in range(3):
        recorder.market(facts(number))
        recorder.append(trades(number * 10, 10, market=number))
        recorder.append(book(T0 + S, [(BID, 1.0, 1.0)], market=number, snapshot=True))
    assert recorder.close()
    rows = rows_of(tmp_path / "c.parquet")
    assert [row[1:3] for row in rows] == [(f"C{key // 10}/USDT", key) for key in range(10, 30)]
    assert Tape([tmp_path / "c.parquet"], exchange="x").course is None


def test_a_file_that_a_killed_run_left_is_not_overwritten(tmp_path: Path, clock: Hands) -> None:
    (tmp_path / "x.arrows").write_bytes(b"something")
    with pytest.raises(StateError, match="was killed"):
        Recorder(tmp_path / "x.parquet", clock=clock)
