"""What people read of guard's own proofs and of lists."""

from __future__ import annotations

from typing import Any

import pytest

from guard.cli.self_watch import heartbeat_trouble, list_troubles


def heartbeat(**more: object) -> dict[str, Any]:
    stages = {name: {"age_s": 1.0, "problem": None, "failures": 0} for name in ("engine", "ledger")}
    return {"heartbeat": {"whole": True, "silent": None, "file": None, "stages": stages, **more}}


def test_a_whole_heartbeat_has_no_trouble() -> None:
    assert heartbeat_trouble(heartbeat()) is None
    assert heartbeat_trouble({}) is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"silent": "publish: no space left"}, "no sign of life: publish"),
        ({"stages": {"ledger": {"problem": "no COMMIT within 10 s"}}}, "ledger (no COMMIT"),
        ({"file": "heartbeat cannot be written"}, "cannot be written"),
    ],
)
def test_what_cannot_be_proved_is_said(more: dict[str, Any], told: str) -> None:
    assert told in str(heartbeat_trouble(heartbeat(**more)))


def test_lists_say_what_is_held_and_what_was_left_out() -> None:
    one = {"name": "mine", "problem": None, "doubt": None, "held": 2, "entries": 2, "read": "now", "bad_rows": 0, "passed_over": 1}
    other = {**one, "name": "broker", "problem": "it answers 503", "passed_over": 0}
    found = list(list_troubles({"lists": [{**one, "rows": ["'(a+)+$' is refused"]}, {**other, "rows": []}]}))
    assert found == [
        ("list mine", True, "2 held of 2 entries, read now, 1 rows left out: '(a+)+$' is refused"),
        ("list broker", False, "it answers 503; 2 held of 2 entries, read now"),
    ]
