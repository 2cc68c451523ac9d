"""What is known to have happened, and what of it was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.errors import ConfigurationError
from guard.model import Level, Market
from guard.runtime.spans import Span
from guard.runtime.truth import Truth, found, read_truth

if TYPE_CHECKING:
    from pathlib import Path

M = 60_000_000
MARKET, OTHER = Market("binance", "AST/BTC"), Market("binance", "BRD/BTC")


def stay(start: int, end: int | None, place: str = "binance:AST/BTC") -> Span:
    return Span("r", place, start * M, None if end is None else end * M, Level.DANGER, f"{place}{start}")


def held(*stays: Span, truths: tuple[Truth, ...] = (Truth("AST/BTC", 100 * M, 110 * M),)) -> tuple[int, int, int, int, list[int]]:
    one = found(truths, stays, [MARKET, OTHER], from_us=0, to_us=1000 * M)
    return (*one[:4], [delay // M for delay in one.delays_us])


def test_stay_that_begins_during_it_is_a_detection() -> None:
    assert held(stay(103, 140), stay(500, 530)) == (1, 1, 1, 1, [3])


def test_market_that_is_held_already_is_found_at_once() -> None:
    assert held(stay(90, 120)) == (1, 1, 1, 0, [0])


def test_stay_that_ended_before_or_began_after_is_another() -> None:
    assert held(stay(60, 100), stay(110, 140)) == (1, 0, 0, 2, [])


def test_stay_without_an_end_counts_to_the_end() -> None:
    assert held(stay(50, None)) == (1, 1, 1, 0, [0])


def test_two_stays_during_one_event_are_two_detections_of_one_thing() -> None:
    assert held(stay(101, 103), stay(105, 140)) == (1, 1, 2, 0, [1])


@pytest.mark.parametrize("place", ["symbol:AST/BTC", "base:AST", "exchange:binance", "binance:AST/BTC"])
def test_every_kind_of_target_that_holds_the_market_counts(place: str) -> None:
    assert held(stay(103, 140, place))[:3] == (1, 1, 1)


@pytest.mark.parametrize("place", ["binance:BRD/BTC", "symbol:BRD/BTC", "base:AS", "exchange:kucoin"])
def test_target_that_holds_another_market_is_another(place: str) -> None:
    assert held(stay(103, 140, place))[:4] == (1, 0, 0, 1)


def test_what_lies_on_no_market_or_time_of_the_recording_is_left_out() -> None:
    truths = (Truth("XXX/BTC", 100 * M, 110 * M), Truth("AST/BTC", 2000 * M, 2010 * M), Truth("kucoin:AST/BTC", 100 * M, 110 * M))
    assert held(stay(103, 140), truths=truths) == (0, 0, 0, 1, [])


def test_times_are_iso_or_milliseconds_and_utc(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(
        "note,end,start,market\nx,1970-01-01T00:02,60000,AST/BTC\n\ny,1970-01-01T02:02+02:00,1970-01-01T00:01Z,binance:AST/BTC\n"
    )
    assert read_truth(path) == (Truth("AST/BTC", M, 2 * M), Truth("binance:AST/BTC", M, 2 * M))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "the column 'market' is missing"),
        ("market,start\n", 1, "the column 'end' is missing"),
        ("market,start,end\n", 1, "there is no row"),
        ("market,start,end\nAST/BTC,1\n", 2, "expected 3 cells, found 2"),
        ("market,start,end\nAST/BTC,1,soon\n", 2, "'soon' is no time"),
        ("market,start,end\nAST,1,2\n", 2, "'AST' is no market"),
        ("market,start,end\nAST/BTC,1,2\nAST/BTC,2,2\n", 3, "the end is not after the start"),
        ("market,start,end\nAST/BTC,1,99999999999999999999\n", 2, ""),
    ],
)
def test_row_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    if not says:
        assert read_truth(path)[0].end_us > 0
        return
    with pytest.raises(ConfigurationError) as caught:
        read_truth(path)
    assert any(problem.line == line and says in problem.message for problem in caught.value.problems)


def test_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="is no text in UTF-8"):
        read_truth(path)
