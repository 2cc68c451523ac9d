"""Tardis' CSV and Binance's public dumps: read by columns and by rows alike, hostile ones too, and back again."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.cli.main import main
from guard.errors import ConfigurationError
from guard.model import BUY, SELL, Batch, Flag, Kind, Market, MarketFacts, Status
from guard_tape import RecordingWriter, Tape
from guard_tape.foreign import opened

if TYPE_CHECKING:
    from collections.abc import Callable

TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
T0 = 1_735_689_600_000_000
DESCRIPTORS = Path("/proc/self/fd")


def packed(path: Path, text: str, *, inside: str | None = None) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(inside or path.with_suffix(".csv").name, text)
    else:
        path.write_text(text)
    return path


def rows_of(tape: Tape, rows_max: int = 1000) -> list[tuple[Any, ...]]:
    markets: list[MarketFacts] = []
    found = []
    for fresh, batch in tape.batches(rows_max):
        markets += fresh
        plain = batch.plain()
        for place in range(len(plain)):
            values = [getattr(plain, name)[place] for name in ("at_us", "received_us", "price", "amount", "side", "key", "flags")]
            found.append((plain.kind[place], str(markets[plain.market[place]].market), *values))
    return found


def events(*paths: Path, **options: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - those of Tape
    return [row for row in rows_of(Tape(paths, exchange="tape", **options)) if row[0] in (Kind.TRADE, Kind.LEVEL)]


@pytest.mark.parametrize(
    ("name", "header", "row", "market", "key"),
    [
        ("BTCUSDT-trades-2024-12-31.csv", "", "77,42000.5,0.25,10500.1,1735689600000,True,True", "binance:BTC/USDT", 77),
        ("BTCUSDT-trades-2025-01-01.zip", "", "77,42000.5,0.25,10500.1,1735689600000000,true,true", "binance:BTC/USDT", 77),
        ("BTCUSDT-aggTrades-2025-01.zip", "", "5,42000.5,0.25,76,77,1735689600000000,True,True", "binance:BTC/USDT", 5),
        ("1000PEPEUSDC-trades-2024-12-31.zip", "", "7,42000.5,0.25,1,1735689600000,true", "binanceusdm:1000PEPE/USDC:USDC", 7),
        (
            "BTCUSDT-trades-2024-12-31.zip",
            "id,price,qty,quote_qty,time,is_buyer_maker",
            "7,42000.5,0.25,1,1735689600000,true",
            "binanceusdm:BTC/USDT:USDT",
            7,
        ),
        (
            "BTCUSDT_250328-aggTrades-2024-12-31.csv",
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
            "9,42000.5,0.25,1,1,1735689600000,true",
            "binanceusdm:BTC/USDT:USDT-250328",
            9,
        ),
    ],
)
def test_a_public_dump_of_each_kind_is_read(  # noqa: PLR0917 - a case
    tmp_path: Path, name: str, header: str, row: str, market: str, key: int
) -> None:
    other = row.replace("True", "False", 1) if "True" in row else row.replace("true", "false", 1)
    path = packed(tmp_path / name, "\n".join(filter(None, [header, row, other])) + "\n")
    assert events(path) == [
        (Kind.TRADE, market, T0, T0, 42000.5, 0.25, SELL, key, 0),
        (Kind.TRADE, market, T0, T0, 42000.5, 0.25, BUY, key, 0),
    ]


def test_trades_and_book_of_tardis_are_one_market_with_both_streams(tmp_path: Path) -> None:
    trades = f"{TRADES}\nbinance,PEPEUSDT,{T0},{T0 + 30},abc,unknown,1.5,2\nbinance,PEPEUSDT,{T0 + 1},{T0},12,buy,1.5,2\n"
    book = "\n".join(
        [
            BOOK,
            f"binance,PEPEUSDT,{T0},{T0 + 10},true,bid,1.4,7",
            f"binance,PEPEUSDT,{T0},{T0 + 10},true,ask,1.6,8",
            f"binance,PEPEUSDT,{T0 + 5},{T0 + 20},false,bid,1.4,0",
            f"binance,PEPEUSDT,{T0 + 5},{T0 + 20},false,ask,1.7,1",
            f"binance,PEPEUSDT,{T0 + 6},{T0 + 20},false,ask,1.8,1",
        ]
    )
    files = [
        packed(tmp_path / "binance_trades_2025-01-01_PEPEUSDT.csv.gz", trades),
        packed(tmp_path / "binance_incremental_book_L2_2025-01-01_PEPEUSDT.csv.gz", book),
    ]
    tape = Tape(files, exchange="tape")
    ((markets, _), *_) = tape.batches(10)
    assert [each.streams for each in markets] == [{"trades", "book"}]
    rows = rows_of(tape)
    assert [row[7] for row in rows if row[0] == Kind.STATUS] == [Status.LIVE, Status.LIVE]
    flags = [row[8] for row in rows if row[0] == Kind.LEVEL]
    assert flags == [Flag.SNAPSHOT, Flag.SNAPSHOT | Flag.LAST, 0, Flag.LAST, Flag.LAST]
    unknown, bought = [row for row in rows if row[0] == Kind.TRADE]
    assert unknown[6] == 0
    assert unknown[8] == Flag.INFERRED_SIDE
    assert (bought[2], bought[3], bought[7]) == (T0, T0, 12), "no event arrives before it happens"


CELLS = [
    st.sampled_from(["binance", "x"]),
    st.sampled_from(["BTCUSDT", "ETHUSDT", ""]),
    st.sampled_from([str(T0), str(T0 + 1), "1", "x", str(T0) + "0"]),
    st.sampled_from([str(T0 + 2), str(T0), ""]),
    st.sampled_from(["true", "false", "True", "maybe"]),
    st.sampled_from(["bid", "ask", "buy"]),
    st.sampled_from(["1.5", "0", "1e-05", "-1", "nan", "inf", "1e400", "0.30000000000000004", "x"]),
    st.sampled_from(["0", "2", "1e3", ".5", "5.", "", "-0", '"3"']),
]
GOOD = [
    ["binance"],
    ["BTCUSDT"],
    [str(T0), str(T0 + 1)],
    [str(T0 + 2)],
    ["true", "false"],
    ["bid", "ask"],
    ["1.5", "2.25"],
    ["0", "2"],
]


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.one_of(st.tuples(*CELLS), st.tuples(*map(st.sampled_from, GOOD))), max_size=12), data=st.data())
def test_columns_and_rows_read_the_same(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], data: Any) -> None:  # noqa: ANN401 - hypothesis
    folder = tmp_path_factory.mktemp("f")
    lines = [",".join(row) for row in rows]
    if data.draw(st.booleans()):
        lines.append(data.draw(st.sampled_from(["", "binance,BTCUSDT", "a,b,c,d,e,f,g,h,i", '"', "\x00"])))
    whole = packed(folder / "whole_BTCUSDT_ETHUSDT.csv", "\n".join([BOOK, *lines]) + "\n")
    # A quoted cell sends its block to the row reader.
    quoted = packed(folder / "quoted_BTCUSDT_ETHUSDT.csv", "\n".join([BOOK, *lines, '"binance",BTCUSDT,1,1,x,bid,1,1']) + "\n")
    tapes = [Tape([path], exchange="e", symbols={"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT"}) for path in (whole, quoted)]
    if any('"' in line for line in lines[-1:]) and lines[-1] == '"':
        return
    first, second = map(rows_of, tapes)
    assert first == second
    assert tapes[1].rejected.total() == tapes[0].rejected.total() + 1
    assert len([row for row in first if row[0] == Kind.LEVEL]) + tapes[0].rejected.total() == len([line for line in lines if line])


def test_what_is_refused_is_counted_and_the_first_are_shown_with_their_line(tmp_path: Path) -> None:
    good = f"binance,BTCUSDT,{T0},{T0},1,buy,1,1"
    lines = [
        TRADES,
        good,
        good.replace("buy", "bye"),
        good,
        good.replace(str(T0), "17"),
        "binance,BTCUSDT",
        *[good.replace(",1,1", ",0,1")] * 30,
    ]
    path = packed(tmp_path / "binance_trades_BTCUSDT.csv", "\n".join(lines) + "\n")
    tape = Tape([path], exchange="tape")
    assert len(rows_of(tape)) == 3
    assert dict(tape.rejected) == {"side": 1, "timestamp": 1, "columns missing": 1, "price": 30}
    assert tape.examples[:3] == [f"{path}:3: side", f"{path}:5: timestamp", f"{path}:6: columns missing"]
    assert len(tape.examples) == 20


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BTCUSD_PERP-trades-2021-05.zip", "77,42000.5,3,0.007,1735689600000,true\n"),
        ("BTCUSD_210625-trades-2021-05.csv", "id,price,qty,base_qty,time,is_buyer_maker\n77,42000.5,3,0.007,1735689600000,true\n"),
        ("ETHUSD_PERP-aggTrades-2023-09.csv", "5,4200.5,3,76,77,1735689600000,true\n"),
    ],
)
def test_a_dump_that_counts_contracts_is_refused_and_says_so(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match="COIN-M futures counts contracts"):
        events(packed(tmp_path / name, text))


@pytest.mark.parametrize(
    ("exchange", "symbol"), [("bybit", "BTCUSD"), ("bybit", "BTC-26SEP25"), ("binance-futures", "BTCUSD_PERP")]
)
def test_an_inverse_or_dated_symbol_is_not_taken_for_a_linear_one(tmp_path: Path, exchange: str, symbol: str) -> None:
    row = f"{exchange},{symbol},{T0},{T0},1,buy,42000.5,3"
    with pytest.raises(ConfigurationError, match="is not known"):
        events(packed(tmp_path / "any.csv", f"{TRADES}\n{row}\n"))


def test_a_symbol_that_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    path = packed(tmp_path / "bitmex_trades_XBTUSD.csv", f"{TRADES}\nbitmex,XBTUSD,{T0},{T0},1,buy,1,1\n")
    with pytest.raises(ConfigurationError, match="--symbol XBTUSD=BASE/QUOTE"):
        events(path)
    assert events(path, symbols={"XBTUSD": "BTC/USD:BTC"})[0][1] == "bitmex:BTC/USD:BTC"


def test_hostile_archives_are_refused_or_read_in_bounded_memory(tmp_path: Path) -> None:
    row = "77,42000.5,0.25,10500.1,1735689600000,True,True\n"
    outside = packed(tmp_path / "BTCUSDT-trades-2024-12-31.zip", row, inside="../../outside.csv")
    assert len(events(outside)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [outside.name], "nothing is unpacked to the disk"
    bomb = tmp_path / "BTCUSDT-trades-2024-12-30.zip"
    packed(bomb, row + "7" * 30_000_000)
    assert bomb.stat().st_size < 50_000
    with pytest.raises(ConfigurationError, match="line 2 has more than"):
        events(bomb)
    lines = packed(tmp_path / "BTCUSDT-trades-2024-12-29.zip", row + "\n" * 3_000_000)
    assert len(events(lines)) == 1
    two = tmp_path / "BTCUSDT-trades-2024-12-28.zip"
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", row)
        archive.writestr("b.csv", row)
    with pytest.raises(ConfigurationError, match="has 2"):
        events(two)
    cut = tmp_path / "BTCUSDT-trades-2024-12-27.zip"
    cut.write_bytes(outside.read_bytes()[:-30])
    with pytest.raises(ConfigurationError, match="T001"):
        events(cut)
    cut.write_bytes(locked(outside.read_bytes()))
    with pytest.raises(ConfigurationError, match="T001"):
        events(cut)
    cut.write_bytes(of_another_sum(outside.read_bytes()))
    with pytest.raises(ConfigurationError, match="CRC"):
        events(cut)


def open_of(folder: Path) -> list[str]:
    """Return the files of a folder that this process holds open."""
    return sorted(file.name for entry in DESCRIPTORS.iterdir() if (file := entry.resolve()).parent == folder.resolve())


def locked(archive: bytes) -> bytes:
    """Say that the one file inside is encrypted."""
    changed = bytearray(archive)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[changed.index(mark) + place] |= 1
    return bytes(changed)


def unpackable(archive: bytes) -> bytes:
    """Say that the one file inside is packed in a way that nobody knows."""
    changed = bytearray(archive)
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        changed[changed.index(mark) + place] = 77
    return bytes(changed)


def of_another_sum(archive: bytes) -> bytes:
    """Say that what is inside has another CRC."""
    changed = bytearray(archive)
    changed[changed.index(b"PK\x01\x02") + 16] ^= 1
    return bytes(changed)


def with_two(archive: bytes) -> bytes:
    """Put a second file into the archive."""
    whole = io.BytesIO(archive)
    with zipfile.ZipFile(whole, "a") as changed:
        changed.writestr("b.csv", "")
    return whole.getvalue()


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="descriptors cannot be listed")
@pytest.mark.parametrize("spoil", [locked, unpackable, of_another_sum, with_two, lambda archive: archive[:-30], lambda _: b"PK"])
def test_an_archive_that_is_refused_is_closed_at_once(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    row = "77,42000.5,0.25,10500.1,1735689600000,True,True\n"
    path = packed(tmp_path / "BTCUSDT-trades-2024-12-31.zip", row)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ConfigurationError, match="T001") as refused:
        events(path)
    # The error still holds the frames that it passed, and what they opened.
    assert refused.value.__traceback__ is not None
    assert open_of(tmp_path) == []


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="descriptors cannot be listed")
def test_what_is_refused_late_closes_the_files_beside_it(tmp_path: Path) -> None:
    rows = "".join(f"{each},42000.5,0.25,10500.1,{1735689600000 + each},True,True\n" for each in range(50_000))
    good = packed(tmp_path / "BTCUSDT-trades-2024-12-31.zip", rows)
    wrong = packed(tmp_path / "ETHUSDT-trades-2024-12-31.zip", rows)
    wrong.write_bytes(of_another_sum(wrong.read_bytes()))
    found = Tape([good, wrong], exchange="tape").batches(1000)
    next(found)
    assert open_of(tmp_path) == [good.name, wrong.name]
    with pytest.raises(ConfigurationError, match="CRC") as refused:
        list(found)
    assert refused.value.__traceback__ is not None
    assert open_of(tmp_path) == []


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="descriptors cannot be listed")
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
def test_a_file_is_open_while_it_is_read_and_closed_at_its_end(tmp_path: Path, suffix: str) -> None:
    row = "77,42000.5,0.25,10500.1,1735689600000,True,True\n"
    path = packed(tmp_path / f"BTCUSDT-trades-2024-12-31{suffix}", row)
    with opened(path) as file:
        assert open_of(tmp_path) == [path.name]
        assert file.read() == row.encode()
    assert open_of(tmp_path) == []


def recording(path: Path) -> Path:
    """Return a recording with all that Tardis' form can carry, and some that it cannot."""
    batch = Batch(64)
    with RecordingWriter(path) as writer:
        for number, symbol in enumerate(["A/USDT", "B/USDT:USDT"]):
            writer.market(MarketFacts(Market("x", symbol)))
            for channel in (1, 2):
                batch.append(Kind.STATUS, number, at_us=T0, received_us=T0, side=channel, key=Status.LIVE)
        for step in range(5):
            at_us = T0 + 1000 * step
            for place in range(3):
                flags = (Flag.SNAPSHOT if not step else 0) | (Flag.LAST if place == 2 else 0)
                batch.append(
                    Kind.LEVEL,
                    step % 2,
                    at_us=at_us,
                    received_us=at_us + 7,
                    price=1 / (place + 3),
                    amount=step * 0.1,
                    side=1,
                    flags=flags,
                )
            batch.append(
                Kind.TRADE,
                step % 2,
                at_us=at_us,
                received_us=at_us + 9,
                price=0.1 + step,
                amount=1e-9,
                side=-1,
                key=(1 << 62) + step,
            )
        batch.append(Kind.GAP, 0, at_us=T0 + 9000, received_us=T0 + 9000, key=T0)
        writer.append(batch)
    return path


def command(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["--json", *words])
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    return dict(json.loads(shown.out.splitlines()[-1]))


def test_a_recording_comes_back_from_tardis_form_as_it_was_but_for_what_that_cannot_carry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    first = recording(tmp_path / "first.parquet")
    written = command(capsys, "tape", "export", str(first), "--out", str(tmp_path / "out"))
    assert written["left_out"] == {"status": 4, "gap": 1}
    files = list(written["files"])
    command(capsys, "tape", "convert", *files, "--out", str(tmp_path / "back.parquet"))
    assert events(tmp_path / "back.parquet") == events(first)
    assert events(*[tmp_path / "out" / name for name in ("x_incremental_book_L2.csv.gz", "x_trades.csv.gz")]) == events(first)
    ours = command(capsys, "tape", "export", str(first), "--format", "csv", "--out", str(tmp_path / "ours"))
    assert ours["left_out"] == {"status": 4, "level": 15, "gap": 1}
    assert len(events(tmp_path / "ours" / "x.csv.gz")) == 5


def test_a_piece_begins_with_the_book_as_it_stood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    first = recording(tmp_path / "first.parquet")
    words = ("--from", "2025-01-01T00:00:00.002Z")
    written = command(capsys, "tape", "cut", str(first), *words, "--market", "x:A/*", "--out", str(tmp_path / "piece.parquet"))
    assert written["markets"] == 1
    rows = rows_of(Tape([tmp_path / "piece.parquet"], exchange="e"))
    assert {row[1] for row in rows} == {"x:A/USDT"}
    kinds = [row[0] for row in rows]
    assert kinds[:2] == [Kind.STATUS, Kind.STATUS]
    # Step 0 was a snapshot of amount zero: nothing stood; then come steps 2 and 4.
    assert [row[2] for row in rows if row[0] == Kind.TRADE] == [T0 + 2000, T0 + 4000]
    assert all(a <= b for a, b in pairwise(row[3] for row in rows))


def test_the_digest_of_the_content_depends_on_the_rows_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    first = recording(tmp_path / "first.parquet")
    command(capsys, "tape", "convert", str(first), "--out", str(tmp_path / "again.parquet"))
    found = command(capsys, "tape", "info", str(first), str(tmp_path / "again.parquet"))["tapes"]
    assert found[0]["digest"] == found[1]["digest"]
    assert found[0]["markets"][0]["gaps"] == 1
    command(capsys, "tape", "cut", str(first), "--to", "2025-01-01T00:00:00.003Z", "--out", str(tmp_path / "part.parquet"))
    assert command(capsys, "tape", "info", str(tmp_path / "part.parquet"))["tapes"][0]["digest"] != found[0]["digest"]
