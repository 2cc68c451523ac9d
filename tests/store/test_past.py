from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from guard.errors import Unavailable
from guard.model.aftermath import Aftermath
from guard.store.past import HOUR_US, PastStore, read_past

if TYPE_CHECKING:
    from pathlib import Path

DAY_US = 24 * HOUR_US


def block(name: str, *, opened_us: int, closed: tuple[bool, ...] = (False, False, False)) -> Aftermath:
    prices = tuple(1.5 if is_closed else None for is_closed in closed)
    return Aftermath(name, "sim:X/USDT", "base:X", "pump", "danger", True, opened_us, 60, 2.0, prices, closed)  # noqa: FBT003


@pytest.fixture
def store(tmp_path: Path) -> PastStore:
    made = PastStore(tmp_path / "past.sqlite", keep_us=7 * DAY_US)
    made.open()
    return made


def test_what_is_written_is_read_back_and_sums_add_up(store: PastStore) -> None:
    first, second = block("a", opened_us=5 * DAY_US), block("b", opened_us=5 * DAY_US + 1, closed=(True, True, True))
    hour = 5 * DAY_US
    store.write([first, second], {(hour, "market_seconds", "sim"): 2.5}, 5 * DAY_US)
    store.write([first], {(hour, "market_seconds", "sim"): 1.0, (hour, "lost_seconds", "sim"): 0.5}, 5 * DAY_US)
    blocks, sums = read_past(store.path, since_us=5 * DAY_US)
    assert blocks == (first, second)
    assert [tuple(each) for each in sums] == [(hour, "lost_seconds", "sim", 0.5), (hour, "market_seconds", "sim", 3.5)]


def test_only_blocks_with_open_horizons_are_unfinished(store: PastStore) -> None:
    store.write([block("a", opened_us=1), block("b", opened_us=2, closed=(True, True, True))], {}, 3)
    assert [one.id for one in store.unfinished(3)] == ["a"]


def test_old_rows_go(store: PastStore) -> None:
    store.write([block("old", opened_us=DAY_US)], {(DAY_US, "x", "y"): 1.0}, DAY_US)
    store.write([block("new", opened_us=9 * DAY_US)], {}, 9 * DAY_US)
    blocks, sums = read_past(store.path, since_us=0)
    assert [one.id for one in blocks] == ["new"]
    assert sums == ()


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "past.sqlite"
    path.write_bytes(content)
    store = PastStore(path, keep_us=DAY_US)
    store.open()
    assert store.was_bad
    assert path.with_name("past.sqlite.bad").read_bytes() == content
    assert read_past(path, since_us=0) == ((), ())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_a_newer_guard_is_moved_aside(store: PastStore) -> None:
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    again = PastStore(store.path, keep_us=DAY_US)
    again.open()
    assert again.was_bad


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "past.sqlite").mkdir()
    with pytest.raises(Unavailable, match=r"past\.sqlite"):
        PastStore(tmp_path / "past.sqlite", keep_us=DAY_US).open()


def test_no_file_is_no_past(tmp_path: Path) -> None:
    assert read_past(tmp_path / "none", since_us=0) == ((), ())
