"""The markets of the last run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.runtime.opening import NOT_OPEN
from guard.runtime.watchlist import Watchlist

if TYPE_CHECKING:
    from pathlib import Path


def test_names_survive_a_restart(tmp_path: Path) -> None:
    Watchlist(tmp_path / "w.json").remember(["x:A/USDT", "x:B/USDT:USDT"])
    assert Watchlist(tmp_path / "w.json").markets == {"x:A/USDT", "x:B/USDT:USDT"}


def test_new_listings_stay_known_through_a_restart_and_names_of_an_earlier_guard_are_read(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    Watchlist(file).remember(["x:A/USDT", "x:B/USDT"], {"x:B/USDT": 77, "x:GONE/USDT": 5})
    kept = Watchlist(file)
    assert (kept.markets, kept.listed_until_us) == ({"x:A/USDT", "x:B/USDT"}, {"x:B/USDT": 77})
    assert [kept.view(f"x:{name}/USDT", NOT_OPEN).listed_until_us for name in "AB"] == [None, 77]
    file.write_text('["x:A/USDT", "x:B/USDT"]')
    assert Watchlist(file).markets == {"x:A/USDT", "x:B/USDT"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '{"a": 1}',
        "[1]",
        '["no colon"]',
        "null",
        "5",
        '{"markets": {"x:A/USDT": "soon"}}',
        '{"markets": [1]}',
        "\x00\xff",
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_an_empty_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "w.json").write_text(text, encoding="latin-1")
    assert Watchlist(tmp_path / "w.json").markets == frozenset()


def test_a_folder_that_is_gone_costs_the_memory_only(tmp_path: Path) -> None:
    watchlist = Watchlist(tmp_path / "gone" / "w.json")
    watchlist.remember(["x:A/USDT"])
    assert watchlist.markets == {"x:A/USDT"}
