from __future__ import annotations

from typing import Any

from rich.console import Console

from guard.cli.ready_lines import ready_lines, ready_table, rest_line


def told(rule: str, ready: str, in_s: float | None = None, why: str | None = None) -> dict[str, Any]:
    text = "ready" if ready == "ready" else f"ready in {in_s:.0f} s" if in_s else f"{ready}: {why}"
    return {"rule": rule, "ready": ready, "ready_in_s": in_s, "why": why, "text": text}


STATUS = {
    "markets": [
        {"market": "x:A/USDT", "rules": [told("pump", "ready"), told("spoof", "never", why="no stream of the book")]},
        {
            "market": "x:LONGLONGNAME/USDT:USDT",
            "rules": [told("pump", "warming", 11_400.0, "few"), told("spoof", "never", why="no stream of the book")],
        },
        {"market": "x:C/USDT", "rules": [told("pump", "waiting", why="a trade is needed")]},
    ]
}


def plain(*lines: object) -> str:
    console = Console(width=80, record=True, force_terminal=False, color_system=None)
    with console.capture() as captured:
        for line in lines:
            console.print(line)
    return captured.get()


def test_a_rule_that_is_not_ready_everywhere_is_one_line_with_the_last_to_come() -> None:
    warming, never = ready_lines(STATUS)
    assert "pump: 1 of 3 markets ready, the last in 3 h 10 m (x:LONGLONGNAME/USDT:USDT), 1 wait (x:C/USDT: a trade" in warming
    assert never == "[dim]never: spoof on all markets: no stream of the book[/]"


def test_where_all_is_ready_nothing_is_said() -> None:
    assert list(ready_lines({"markets": [{"market": "x:A/USDT", "rules": [told("pump", "ready")]}]})) == []


def test_the_table_of_markets_and_rules_fits_80_columns() -> None:
    shown = plain(ready_table(STATUS))
    assert max(map(len, shown.splitlines())) <= 80
    assert "ready in 11400 s" in shown
    assert "never: no stream of the book" in shown


def rest(**changes: object) -> dict[str, Any]:
    record = {
        "used": 312.0,
        "share": 1200.0,
        "limit": 6000.0,
        "paused_s": 0.0,
        "why": None,
        "address_used": 900.0,
        "address_limit": 6000.0,
        "waiting": {"history": 3},
        **changes,
    }
    return {"exchange": "binance", "rest": record}


def test_the_rest_budget_is_a_line() -> None:
    assert rest_line(rest()) == (
        "[dim]binance: REST 312 of 1200 a minute used (the exchange allows 6000), this address 900 of 6000, 3 requests wait[/]"
    )
    assert rest_line({"exchange": "sim", "rest": None}) is None


def test_a_pause_of_rest_says_until_when_and_why() -> None:
    line = str(rest_line(rest(paused_s=42.0, why="refused (429)", address_used=None)))
    assert line.startswith("[yellow]binance: REST pauses for 42 s:[/] refused (429); REST 312 of 1200")
