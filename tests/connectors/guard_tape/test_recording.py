"""Recordings in Parquet: what is written is read, and nothing else is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.errors import ConfigurationError
from guard.model import Batch, Channel, Flag, Kind, Market, MarketClass, MarketFacts, Status
from guard_tape import Recording, RecordingWriter, Tape
from guard_tape.arrow import MARKETS_KEY, ROWS_MAX, VERSION_KEY, schema
from guard_tape.columns import Rows

if TYPE_CHECKING:
    from pathlib import Path

pa = pytest.importorskip("pyarrow", reason="recordings need the extra record")
pq = pytest.importorskip("pyarrow.parquet")

T0 = 1_500_000_000_000_000
FACTS = [
    MarketFacts(
        Market("okx", "A/USDT:USDT"),
        MarketClass.PERP,
        tick=0.1,
        lot=1e-8,
        contract_size=100.0,
        is_inverse=True,
        usd_rate=1.0,
        listed_us=T0,
        tags=frozenset({"b", "a"}),
    ),
    MarketFacts(Market("sim", "B/USDT"), streams=frozenset({"trades"})),
]


def batch(rows: list[tuple[Any, ...]]) -> Batch:
    one = Batch(max(1, len(rows)))
    for kind, market, at, late, price, amount, side, key, flags in rows:
        times = {"at_us": T0 + at, "received_us": T0 + at + late}
        one.append(kind, market, **times, price=price, amount=amount, side=side, key=key, flags=flags)
    return one


def columns(batches: list[Batch]) -> dict[str, list[Any]]:
    plain = [one.plain() for one in batches]
    return {name: [value for one in plain for value in getattr(one, name)] for name in Rows._fields}


def written(path: Path, *batches: Batch) -> Path:
    with RecordingWriter(path) as writer:
        assert [writer.market(facts) for facts in FACTS] == [0, 1]
        for one in batches:
            writer.append(one)
    return path


def read(path: Path) -> list[Batch]:
    return [Batch.over(**table._asdict()) for table in Recording(path).tables()]


EVENTS = [
    (Kind.STATUS, 0, 0, 5, 0.0, 0.0, Channel.ALL, Status.LIVE, 0),
    (Kind.LEVEL, 0, 1, 4, 10.5, 2.0, 1, 77, Flag.SNAPSHOT),
    (Kind.LEVEL, 0, 1, 4, 10.6, 0.0, -1, 77, Flag.SNAPSHOT | Flag.LAST),
    (Kind.TRADE, 1, 3, 2, 1e-8, 1e9, 0, 2**62, Flag.INFERRED_SIDE),
    (Kind.GAP, 0, 9, 0, 0.0, 0.0, Channel.BOOK, T0, 0),
    (Kind.CONTROL, 1, 9, 0, 0.0, 0.0, 0, 3, 0),
]

rows = st.tuples(
    st.sampled_from([int(kind) for kind in Kind]),
    st.integers(0, 1),
    st.integers(0, 10**9),
    st.integers(0, 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, 1e15),
    st.integers(-1, 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 15),
)


@given(st.lists(st.lists(rows, max_size=20), max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path: Path, batches: list[list[tuple[Any, ...]]]) -> None:
    made = [batch(some) for some in batches]
    path = written(tmp_path / "r.parquet", *made)
    assert columns(read(path)) == columns(made)
    assert Recording(path).markets == FACTS


def test_row_groups_are_bounded_and_batches_may_be_of_any_size(tmp_path: Path) -> None:
    count = 3 * ROWS_MAX // 2
    at_us = np.arange(T0, T0 + count)
    wide = {name: np.ones(count, field.type.to_pandas_dtype()) for name, field in zip(Rows._fields, schema(), strict=True)}
    big = Batch.over(**{**wide, "at_us": at_us, "received_us": at_us})
    path = written(tmp_path / "r.parquet", batch(EVENTS), big, batch(EVENTS))
    recording = Recording(path)
    assert (recording.rows, recording.row_groups) == (count + 12, 2)
    assert [len(table.kind) for table in recording.tables()] == [ROWS_MAX, count + 12 - ROWS_MAX]
    assert next(recording.tables()).price.base is not None, "a view of what pyarrow read"


def test_a_recording_replays_with_other_files_in_order_of_arrival(tmp_path: Path) -> None:
    path = written(tmp_path / "r.parquet", batch(EVENTS))
    (tmp_path / "t.csv").write_text(
        f"symbol,timestamp,side,price,amount\nC/BTC,{T0 // 1000},buy,1,1\nB/USDT,{T0 // 1000 + 1},buy,1,1\n"
    )
    tape = Tape([path, tmp_path / "t.csv"], exchange="sim")
    assert tape.exchanges == {"okx", "sim"}
    seen = [([str(facts.market) for facts in opened], one.plain()) for opened, one in tape.batches(100)]
    assert [name for opened, _ in seen for name in opened] == ["sim:C/BTC", "okx:A/USDT:USDT", "sim:B/USDT"]
    found = [(market, kind) for _, one in seen for market, kind in zip(one.market, one.kind, strict=True)]
    status, trade, level = Kind.STATUS, Kind.TRADE, Kind.LEVEL
    assert found[:6] == [(0, status), (0, trade), (1, status), (1, level), (1, level), (2, trade)]
    # B/USDT stands in both: the recording, which comes first, says itself when its streams went live.
    assert found[6:] == [(1, Kind.GAP), (2, Kind.CONTROL), (2, trade)]


def test_a_market_on_several_tapes_is_opened_once(tmp_path: Path) -> None:
    first = written(tmp_path / "1.parquet", batch([(Kind.TRADE, 1, at, 0, 1.0, 1.0, 1, 0, 0) for at in range(ROWS_MAX + 1)]))
    later = written(tmp_path / "2.parquet", batch([(Kind.TRADE, 1, 10**6, 0, 1.0, 1.0, 1, 0, 0)]))
    (tmp_path / "3.csv").write_text(f"symbol,timestamp,side,price,amount\nB/USDT,{T0 // 1000 + 2000},buy,1,1\n")
    batches = list(Tape([first, later, tmp_path / "3.csv"], exchange="sim").batches(ROWS_MAX))
    assert [str(facts.market) for opened, _ in batches for facts in opened] == ["sim:B/USDT"]
    assert {number for _, one in batches for number in one.plain().market} == {0}
    assert sum(len(one) for _, one in batches) == ROWS_MAX + 3


def test_the_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = written(tmp_path / "r.parquet", batch(EVENTS))
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="midway"), RecordingWriter(path) as writer:  # noqa: PT012 - the writer is what is tested
        writer.append(batch([]))
        raise RuntimeError("midway")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["r.parquet"]  # noqa: PTH208 - hidden ones too


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.r\.parquet:1:1: error\[T005"):
        RecordingWriter(tmp_path / "none" / "r.parquet")


def rewritten(path: Path, **changed: Any) -> None:  # noqa: ANN401 - a column or metadata
    table = pq.read_table(path)
    metadata = {**pq.ParquetFile(path).metadata.metadata, **changed.pop("metadata", {})}
    for name, column in changed.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column))
    arrays = table.columns if changed else list(table.columns)
    fields = [pa.field(name, array.type, nullable=False) for name, array in zip(table.schema.names, arrays, strict=True)]
    metadata.pop(b"ARROW:schema", None)
    pq.write_table(pa.table(arrays, schema=pa.schema(fields, metadata=metadata)), path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metadata": {VERSION_KEY: b"2"}}, "a recording of version 2; this guard reads version 1"),
        ({"metadata": {MARKETS_KEY: b"{}"}}, "no list"),
        ({"metadata": {MARKETS_KEY: b"[1]"}}, "a market has the keys"),
        ({"metadata": {MARKETS_KEY: b"["}}, "cannot be read"),
        ({"market": np.full(6, 2, np.int32)}, "market outside of 0 to 1 in the rows from 0 on"),
        ({"market": np.full(6, -1, np.int32)}, "market outside"),
        ({"kind": np.full(6, 9, np.int8)}, "kind outside"),
        ({"at_us": np.full(6, 1500000000000)}, "at_us outside"),
        ({"at_us": np.full(6, T0 + 10**6)}, "arrived before it happened"),
        ({"price": np.full(6, np.nan)}, "price that is no number"),
        ({"amount": np.full(6, np.inf)}, "amount that is no number"),
        ({"price": np.full(6, 1, np.float32)}, "other columns"),
    ],
)  # fmt: skip
def test_what_no_writer_wrote_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = written(tmp_path / "r.parquet", batch(EVENTS))
    rewritten(path, **changed)
    with pytest.raises(ConfigurationError, match=r"r\.parquet:1:1") as caught:
        read(path)
    assert said in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "r.parquet", *[batch(EVENTS)] * 500)
    whole = path.read_bytes()
    place = len(whole) // 8
    for content in (
        b"",
        b"PAR1",
        whole[:-9],
        whole[: len(whole) // 2],
        whole[:place] + b"\xaa" * 16 + whole[place + 16 :],
        b"text\n",
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"r\.parquet"):
            read(path)


def test_another_parquet_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    pq.write_table(pa.table({"price": [1.0]}), tmp_path / "r.parquet")
    with pytest.raises(ConfigurationError, match=r"no recording of guard\n.*guard tape convert"):
        Tape([tmp_path / "r.parquet"], exchange="x")
