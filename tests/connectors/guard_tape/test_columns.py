"""The column reader gives what the row reader gives."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from both_readers import HEADER, T0_MS, by_columns, by_rows
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from guard.errors import ConfigurationError
from guard.model import Channel, Flag, Kind, Status
from guard_tape import Tape
from guard_tape.cells import MARGIN, Text

PUMPS = Path(__file__).parents[3] / "../shared/data/pump_trades"
SMALL = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["whole files", "cut small"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run it twice: with every limit as it is, and with all of them so small that each file meets them often."""
    if request.param == "cut small":
        for name, limit in {
            "blocks._BLOCK_BYTES": 256,
            "blocks._ROWS_MAX": 5,
            "seams._LATE_FEW": 0,
            "seams.SEAM_ROWS_MAX": 7,
            "rows.SEAM_ROWS_MAX": 7,
        }.items():
            monkeypatch.setattr(f"guard_tape.{name}", limit)
    return str(request.param)


prices = st.sampled_from(
    ["1", "2.0", "1.435e-05", "0.1", "1e5", "1E3", ".5", "5.", "00012.50", "123456789012345678", "1e-320", "1e15"]
)
amounts = st.one_of(prices, st.floats(1e-12, 1e12).map(repr))
bad_cells = st.sampled_from(
    [
        *["x", "é", "٣", "1_0", "+3", "nan", "inf", "-1", "0", "1e400", "1.2.3", "1e+05", "1e16"],
        "",
        " ",
        " 2 ",
        '"1"',
        '"1,5"',
        "1\r",
        "1" * 30,
    ]
)
symbols = st.sampled_from(["A/BTC", "B/USDT:USDT", "LONGER/NAMED:USDT-240628-70000-C", "A/BTD", "1/A", "12345678/A", "2345678/AB"])
sides = st.sampled_from(["buy", "sell", "BUY", "Sell", "", "none", "unknown"])


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """Rows mostly in order, with equal stamps, late ones, and blocks that stand there again."""
    is_clean = draw(st.booleans())
    rows: list[str] = []
    stamp = T0_MS
    for _ in range(draw(st.integers(0, 30))):
        kind = draw(st.integers(0, 9))
        if kind == 0 and rows:
            start = draw(st.integers(0, len(rows) - 1))
            rows += rows[start : start + draw(st.integers(1, len(rows)))]
            continue
        if kind == 1:
            stamp -= draw(st.integers(0, 4))
        elif kind < 5:
            stamp += draw(st.integers(0, 3))
        cells = [
            draw(symbols),
            str(stamp),
            "d",
            draw(sides),
            draw(st.sampled_from(["1", "2"])),
            draw(st.sampled_from(["1", "3.5"])),
            "v",
        ]
        if draw(st.integers(0, 5)) == 0:
            cells[4], cells[5] = draw(prices), draw(amounts)
        if not is_clean and draw(st.integers(0, 9)) == 0:
            cells[draw(st.integers(0, len(cells) - 1))] = draw(bad_cells)
        row = ",".join(cells)
        if not is_clean and draw(st.integers(0, 19)) == 0:
            row = draw(st.sampled_from(["", " ", "A/BTC", row + ",more", '"open', row.replace("buy", '"buy"'), row + "\r"]))
        rows.append(row)
    return rows


tapes = st.tuples(st.lists(lines(), min_size=1, max_size=3), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n\n"]))


@given(tapes, st.integers(1, 9))
@example(([["A/BTC,1500000000000,d,buy,1,1,v", '"']], "\n", ""), 1)
@SMALL
def test_generated_files_read_the_same(limits: str, tmp_path: Path, tape: tuple[list[list[str]], str, str], rows_max: int) -> None:
    files, end, last = tape
    paths = []
    for number, rows in enumerate(files):
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_bytes((end.join([HEADER, *rows]) + last).encode())
    assert by_columns(paths, rows_max=rows_max) == by_rows(paths), limits


def test_a_clean_file_is_read_as_columns_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        HEADER + "\n" + "".join(f"A/BTC,{T0_MS + at},2018-08-26 15:30:34+00:00,sell,1.435e-05,4.0,\n" for at in range(5000))
    )
    expected = by_rows([path])
    monkeypatch.setattr("guard_tape.rows.TradeFile.rows", lambda *_, **__: pytest.fail("the row reader was asked"))
    assert by_columns([path]) == expected


@given(
    st.lists(st.floats(1e-30, 1e15), min_size=1, max_size=50),
    st.sampled_from([repr, "{:.8f}".format, "{:.17g}".format]),
)
@settings(deadline=None)
def test_numbers_are_those_of_float_bit_for_bit(values: list[float], spell: object) -> None:
    assert callable(spell)
    cells = [spell(value).replace("+", "") for value in values]
    block = bytes(MARGIN) + "".join(cell + "," for cell in cells).encode()
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord(","))
    found = Text(block).floats(np.append(MARGIN, ends[:-1] + 1), ends)
    assert found is not None
    assert found.tolist() == [float(cell) for cell in cells]


@pytest.mark.parametrize("cell", ["", ".", "e-05", "1e-", "1e-0x", "--1", "1-2", "0x10", "1..2", "/", ":", "1e-05e-05"])
def test_what_is_no_number_is_none(cell: str) -> None:
    text = Text(bytes(MARGIN) + cell.encode() + b",")
    assert text.floats(np.array([MARGIN]), np.array([MARGIN + len(cell)])) is None


def test_the_largest_exact_mantissas_round_as_float_does() -> None:
    cells = [
        "9007199254740993",
        "9007199254740991",
        "0.9007199254740993",
        "9999999999999999",
        "8999999999999999",
        "1e-22",
        "1e-23",
        "0" * 16 + "1",
    ]
    block = bytes(MARGIN) + ",".join(cells).encode() + b","
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord(","))
    found = Text(block).floats(np.append(MARGIN, ends[:-1] + 1), ends)
    assert found is not None
    assert found.tolist() == [float(cell) for cell in cells]
    assert not any(math.isnan(value) for value in found)


def test_a_torn_file_gives_what_stands_before_and_then_an_error_that_names_it(tmp_path: Path) -> None:
    rows = "".join(f"A/BTC,{T0_MS + at},d,buy,{1 + at % 7},{at + 1},v\n" for at in range(60_000))
    packed = gzip.compress((HEADER + "\n" + rows).encode())
    for name, content in {"cut": packed[: len(packed) * 2 // 3], "bent": packed[:9000] + b"\xff" * 40 + packed[9040:]}.items():
        path = tmp_path / f"{name}.csv.gz"
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=rf"{name}\.csv\.gz"):
            list(Tape([path], exchange="x").batches(1000))


def test_other_columns_and_no_text_are_errors_that_name_the_file(tmp_path: Path) -> None:
    for content in (b"", b"symbol,timestamp\n", b"symbol,timestamp,side,price,amount\nA/BTC,1500000000000,buy,1,\xff\n"):
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"t\.csv:1:1"):
            list(Tape([path], exchange="x").batches(1000))


def test_each_market_opens_with_a_row_that_says_it_is_live(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEADER}\nB/BTC,{T0_MS},d,buy,1,1,v\nA/BTC,{T0_MS},d,,1,1,v\nB/BTC,{T0_MS + 1},d,buy,1,1,v\n")
    seen = []
    for opened, batch in Tape([path], exchange="x").batches(10):
        seen.append(([str(facts.market) for facts in opened], batch.plain()))
    assert [opened for opened, _ in seen] == [["x:B/BTC"], ["x:A/BTC"], []]
    first, second, third = (batch for _, batch in seen)
    assert (first.kind, first.market, first.side, first.key) == (
        [Kind.STATUS, Kind.TRADE],
        [0, 0],
        [Channel.TRADES, 1],
        [Status.LIVE, 0],
    )
    assert (second.kind, second.market, second.flags) == ([Kind.STATUS, Kind.TRADE], [1, 1], [0, Flag.INFERRED_SIDE])
    assert second.received_us == second.at_us == [T0_MS * 1000, T0_MS * 1000]
    assert (third.kind, third.market) == ([Kind.TRADE], [0])


@pytest.mark.skipif(not PUMPS.is_dir(), reason="the recorded pumps are not beside this checkout")
def test_the_recorded_pumps_read_the_same() -> None:
    paths = sorted(PUMPS.glob("*.csv.gz"))
    assert by_columns(paths) == by_rows(paths)
