"""The board's lines about bots: who is missed, who holds what is blocked, and nothing of it is markup."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from guard.cli.bot_lines import bot_lines, lock_lines
from guard.client.reports import COUNTS


def bot(name: str, **words: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"name": name, "silent": False, "parted": False, "totals": dict.fromkeys(COUNTS, 0), "holds_blocked": [],
            "grew_while_blocked": {}, "seen_s": 2, **words}  # fmt: skip


def shown(bots: dict[str, Any]) -> list[str]:
    return [Text.from_markup(line).plain for line in bot_lines(bots)]


def test_bots_are_shown_with_what_they_hold() -> None:
    evil = bot("[red]x[/r]", holds_blocked=["s:[b]X[/b]/USDT"], grew_while_blocked={"s:Y/USDT": 1})
    evil["totals"]["blocked"] = 3
    assert shown({"bots": [evil, bot("gone", parted=True)], "silent": ["ghost"]}) == [
        "bot ghost: silent",
        "bot [red]x[/r]: 0 entries, 0 exits, 3 refused, heard 2 s ago  holds blocked s:[b]X[/b]/USDT  added to blocked s:Y/USDT",
    ]


def test_no_section_shows_nothing_and_many_bots_are_counted() -> None:
    assert shown({}) == []
    assert shown({"bots": [bot(f"b{number}") for number in range(20)]})[-1] == "12 more bots: guard --json status"


def test_locks_that_cannot_be_pushed_are_shown_with_the_reason() -> None:
    rows = [{"bot": "[b]x", "locks": 2, "problem": None}, {"bot": "other", "locks": 0, "problem": "[i]refused"}]
    assert [Text.from_markup(line).plain for line in lock_lines(rows)] == [
        "bot [b]x: 2 locks pushed",
        "bot other gets no locks: [i]refused",
    ]
