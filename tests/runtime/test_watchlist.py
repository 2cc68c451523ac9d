"""The markets of the last run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.runtime.watchlist import Watchlist

if TYPE_CHECKING:
    from pathlib import Path


def test_names_survive_a_restart(tmp_path: Path) -> None:
    Watchlist(tmp_path / "w.json").remember(["x:A/USDT", "x:B/USDT:USDT"])
    assert Watchlist(tmp_path / "w.json").markets == {"x:A/USDT", "x:B/USDT:USDT"}


@pytest.mark.parametrize("text", ["", "{", "{}", '{"a": 1}', "[1]", '["no colon"]', "null", "5", "\x00\xff", "[" * 100_000])
def test_a_damaged_file_is_an_empty_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "w.json").write_text(text, encoding="latin-1")
    assert Watchlist(tmp_path / "w.json").markets == frozenset()


def test_a_folder_that_is_gone_costs_the_memory_only(tmp_path: Path) -> None:
    watchlist = Watchlist(tmp_path / "gone" / "w.json")
    watchlist.remember(["x:A/USDT"])
    assert watchlist.markets == {"x:A/USDT"}
