"""The board: whatever the status holds, it is shown, and nothing in it is markup."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from guard.cli.board import board_view

EVIL = "sim:[bold]X[/bold]/USDT"


def status(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    row = {
        "market": EVIL, "level": "danger", "score": None, "rule": "pump_dump", "factors": {"price_volatility": None},
        "state": "quarantined", "data": "stale", "age_ms": None, "until": None, "rules_active": 0, "rules_expected": 2,
    }  # fmt: skip
    return {
        "mode": "enforce", "watched": 1, "ready": 0, "events_per_second": 0.0, "feed_age_ms": None, "durable": True,
        "uptime_s": 3.0, "channels": {}, "inlet": {"book_rows_dropped": 9, "trades_dropped": 0, "books_unknown": 3},
        "engine": {"form": "plain", "problem": None},
        "rules": {"active": 2, "problem": None}, "bypass": None, "feeds": [], "outbox": {},
        "quarantines": [], "nearest": [], "detectors": [],
        "markets": [row], **changes,
    }  # fmt: skip


def shown(document: dict[str, Any], *, width: int = 140, **options: int) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(board_view(document, width=width, **options))
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 118, 200])
def test_a_market_without_figures_is_shown_as_it_is_named(width: int) -> None:
    board = shown(status(), width=width)
    assert "[bold]" in board
    assert "quarantined" in board


def test_trouble_is_written_out() -> None:
    feed = {"exchange": "sim", "problem": "port [8788] is in use", "notes": ["port [8788] is in use", "[b]note[/b]"]}
    board = shown(
        status(
            durable=False,
            feeds=[feed],
            rules={"active": 1, "problem": "own.yaml:2: [x] is unknown"},
            bypass={"until": "12:00", "reason": "r", "actor": "a"},
            channels={"people": {"failing": True, "error": "[x] 500"}},
            outbox={"people": {"pending": 2, "dead": 1}},
        )
    )
    for words in (
        "LEDGER CANNOT BE WRITTEN",
        "sim: port [8788] is in use",
        "sim: [b]note[/b]",
        "9 book changes dropped, 3 books unknown now",
        "alert channel people does not deliver: [x] 500",
        "rules: own.yaml:2: [x] is unknown",
        "BYPASSED until 12:00",
        "2 waiting, 1 undeliverable",
        "engine: plain",
    ):
        assert words in board


def test_the_rest_is_counted_where_there_are_too_many_markets() -> None:
    rows = status()["markets"] * 7
    assert "and 4 calmer markets" in shown(status(markets=rows), rows_max=3)


def test_a_level_of_the_shadow_stands_in_brackets_and_is_explained() -> None:
    row = {**status()["markets"][0], "mode": "shadow"}
    board = shown(status(markets=[row]))
    assert "(danger)" in board
    assert "a rule in the shadow" in board
    told = shown(status(markets=[{**row, "mode": "enforce"}]))
    assert "(danger)" not in told
    assert "a rule in the shadow" not in told
    assert "a rule in the shadow" not in shown(status(markets=[{**row, "level": "normal"}]))


def test_markets_that_have_their_level_together_are_named_once() -> None:
    group = {
        "rule": "many_move", "mode": "enforce", "per": "exchange", "group": "sim", "level": "critical", "held": 9,
        "needed": 2, "of": 16, "members": ["sim:A/USDT"],
    }  # fmt: skip
    assert "exchange:sim critical by many_move (enforce): 9 of 16 markets hold it, quorum 2" in shown(status(groups=[group]))


def _held(number: int) -> dict[str, Any]:
    return {
        "state": "quarantined", "target": f"sim:M{number}/USDT", "until": "2026-01-01T00:00:00.000Z", "reason": "news",
        "id": f"{number:012x}",
    }  # fmt: skip


def test_what_is_held_stands_above_what_can_wait_with_the_whole_command() -> None:
    feed = {"exchange": "sim", "problem": None, "notes": ["a quiet note"]}
    board = shown(status(feeds=[feed], quarantines=[_held(1)]), width=200)
    assert "1 held" in board
    assert 'guard quarantine release 000000000001 --reason "..."' in board
    assert board.index("quarantined sim:M1/USDT") < board.index("a quiet note")


def test_a_thousand_held_targets_do_not_fill_the_board() -> None:
    board = shown(status(quarantines=[_held(number) for number in range(1000)]), width=200)
    assert "1000 held" in board
    assert "and 992 more held  guard quarantine ls" in board
    assert len(board.splitlines()) < 30


def test_eighty_columns_cut_no_cell() -> None:
    row = {
        "market": "binance:1000PEPE/USDT", "level": "critical", "score": 0.98, "rule": "pump_dump", "factors": {},
        "state": "quarantined", "data": "degraded", "age_ms": 105.0, "until": "2026-11-23T12:47:59.000Z", "rules_active": 1,
        "rules_expected": 2,
    }  # fmt: skip
    board = shown(status(markets=[row]), width=80)
    assert "…" not in board
    assert "quarantined to 12:47Z" in board


def test_long_names_cost_the_widest_column_and_no_figure() -> None:
    row = {
        **status()["markets"][0],
        "market": "binance:1000000LONGNAME/USDT:USDT-261225",
        "until": "2026-11-23T12:47:59Z",
        "score": 0.5,
    }
    board = shown(status(markets=[row]), width=80)
    line = next(line for line in board.splitlines() if "quarantined" in line)
    assert "…" in line.split()[0]
    for words in ("0.50", "danger", "quarantined to 12:47Z", "stale"):
        assert words in line
    assert max(map(len, board.splitlines())) <= 80


def test_what_an_exchange_calls_a_market_steers_no_terminal() -> None:
    row = {**status()["markets"][0], "market": "sim:\x1b[31mX/USDT", "rule": "\x1b[2J"}
    assert "\x1b" not in shown(status(markets=[row]))
