import gzip
from pathlib import Path

import pytest

from guard.errors import ConfigurationError
from guard.model import BUY, SELL, Market
from guard_tape import Tape

HEADER = "symbol,timestamp,datetime,side,price,amount,btc_volume"
PUMPS = Path(__file__).parents[3] / "../shared/data/pump_trades"


def row(stamp: int, *, side: str = "buy", price: str = "2.0", amount: str = "3", symbol: str = "A/BTC") -> str:
    return f"{symbol},{1_500_000_000_000 + stamp},x,{side},{price},{amount},6"


def tape(folder: Path, *rows: str, name: str = "t.csv", header: str = HEADER) -> Tape:
    path = folder / name
    path.write_text("\n".join((header, *rows)) + "\n")
    return Tape([path], exchange="binance")


def stamps(tape: Tape) -> list[int]:
    return [trade.at_us // 1000 - 1_500_000_000_000 for trade in tape]


def test_a_row_becomes_a_trade(tmp_path: Path) -> None:
    (trade,) = tape(tmp_path, row(5, side="sell", price="1.5", amount="4.25"))
    assert trade == (1_500_000_000_005_000, Market("binance", "A/BTC"), SELL, 1.5, 4.25)


def test_files_merge_by_time_then_file_order(tmp_path: Path) -> None:
    tape(tmp_path, row(1, symbol="A/BTC"), row(3, symbol="A/BTC"), name="a.csv")
    tape(tmp_path, row(1, symbol="B/BTC"), row(2, symbol="B/BTC"), name="b.csv")
    both = Tape([tmp_path / "a.csv", tmp_path / "b.csv"], exchange="x")
    assert [(str(t.market), t.at_us % 10_000) for t in both] == [
        ("x:A/BTC", 1000), ("x:B/BTC", 1000), ("x:B/BTC", 2000), ("x:A/BTC", 3000),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(1, price="nan"), "price"),
        (row(1, price="0"), "price"),
        (row(1, price="1e400"), "price"),
        (row(1, amount="-1"), "amount"),
        (row(1, amount="x"), "amount"),
        (row(1, side="bought"), "side"),
        ("A/BTC,yesterday,x,buy,1,1,1", "timestamp"),
        ("A/BTC,1500000000,x,buy,1,1,1", "timestamp"),
        ("ABTC,1500000000000,x,buy,1,1,1", "symbol"),
        ("A/BTC,1500000000000", "columns missing"),
    ],
)
def test_a_bad_row_is_counted_with_its_place_and_the_rest_is_read(tmp_path: Path, bad: str, reason: str) -> None:
    recording = tape(tmp_path, row(1), bad, row(2))
    assert stamps(recording) == [1, 2]
    assert recording.rejected == {reason: 1}
    assert recording.examples == [f"{tmp_path / 't.csv'}:3: {reason}"]


def test_other_columns_are_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"t\.csv:1:1: .*no column price, amount; found 'symbol,timestamp,side'"):
        list(tape(tmp_path, header="symbol,timestamp,side"))


def test_a_missing_or_torn_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv"):
        list(Tape([tmp_path / "none.csv"], exchange="x"))
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes(gzip.compress((HEADER + "\n" + row(1) * 500).encode())[:60])
    with pytest.raises(ConfigurationError, match=r"torn\.csv\.gz"):
        list(Tape([torn], exchange="x"))


def test_a_stamp_repeated_whole_by_the_next_page_is_dropped(tmp_path: Path) -> None:
    recording = tape(tmp_path, row(1), row(2, price="5"), row(2, price="6"), row(2, price="5"), row(2, price="6"), row(3))
    assert stamps(recording) == [1, 2, 2, 3]
    assert recording.repeated == 2


def test_a_page_cut_inside_a_stamp_keeps_what_is_new(tmp_path: Path) -> None:
    recording = tape(tmp_path, *(row(2, price=p) for p in ("5", "6", "5", "6", "7")))
    assert [trade.price for trade in recording] == [5.0, 6.0, 7.0]


def test_equal_fills_inside_a_stamp_stay(tmp_path: Path) -> None:
    recording = tape(tmp_path, row(2, price="5"), row(2, price="5"), row(2, price="6"))
    assert [trade.price for trade in recording] == [5.0, 5.0, 6.0]
    assert recording.repeated == 0


def test_a_page_that_steps_back_in_time_is_dropped_as_far_as_it_repeats(tmp_path: Path) -> None:
    recording = tape(tmp_path, row(1), row(2), row(3, amount="8"), row(2), row(3, amount="8"), row(4))
    assert stamps(recording) == [1, 2, 3, 4]


def test_a_late_row_that_repeats_nothing_stays(tmp_path: Path) -> None:
    assert stamps(tape(tmp_path, row(1), row(5), row(3), row(6))) == [1, 5, 3, 6]


@pytest.mark.skipif(not PUMPS.is_dir(), reason="the recorded pumps are not beside this checkout")
def test_the_recorded_pumps_are_read_whole() -> None:
    recording = Tape(sorted(PUMPS.glob("*.csv.gz")), exchange="binance")
    trades = list(recording)
    assert len(trades) + recording.repeated == 128_051
    assert not recording.rejected
    assert [t.at_us for t in trades] == sorted(t.at_us for t in trades)
    assert {t.side for t in trades} == {BUY, SELL}
    assert 0.015 < recording.repeated / 128_051 < 0.035
