"""What a run found, against what was staged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import MINUTE_US, START_US, transition, verdict
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import ConfigurationError
from guard.model import Decision, IsolationState, Transition
from guard.model.moments import stamp
from guard.runtime.blocked import BlockedTime
from guard.runtime.lines import DecisionLog, lines_of
from guard.runtime.settings import _nested
from guard.runtime.summary import RunRecord, bot_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

FREE, HELD = IsolationState.NORMAL, IsolationState.QUARANTINED


def decided(*entries: Any) -> Decision:  # noqa: ANN401 - verdicts and transitions
    transitions = tuple(entry for entry in entries if isinstance(entry, Transition))
    return Decision(START_US, tuple(e for e in entries if e not in transitions), transitions, log=entries)


def act(
    market: str = "sim:X/USDT", *, harmless: bool = False, pattern: str = "pump_dump", started_us: int | None = START_US
) -> dict[str, Any]:
    return {"pattern": pattern, "market": market, "harmless": harmless, "started_us": started_us, "ended_us": None}


def record(*entries: Any) -> RunRecord:  # noqa: ANN401 - likewise
    made = RunRecord()
    made.take(decided(*entries))
    return made


def test_an_act_is_found_and_blocked_after_so_many_seconds() -> None:
    at_us = START_US + 3_200_000
    found = record(verdict(at_us=at_us), transition(at_us=at_us + 100_000)).against([act()], can_tell=lambda *_: True)
    assert (found["truth"][0]["found_after_s"], found["truth"][0]["blocked_after_s"]) == (3.2, 3.3)
    assert (found["false_quarantines"], found["false_targets"]) == (0, [])


def test_what_nothing_explains_is_false() -> None:
    for acts in ([], [act("sim:Y/USDT")], [act(harmless=True)], [act(started_us=None)], [act(started_us=START_US + 1)]):
        found = record(transition()).against(acts, can_tell=lambda *_: True)
        assert (found["false_quarantines"], found["false_targets"]) == (1, ["sim:X/USDT"])


def test_layering_is_what_the_spoofing_rule_finds() -> None:
    found = record(verdict(rule="spoofing")).against([act(pattern="layering")], can_tell=lambda *_: True)
    assert found["truth"][0]["found_after_s"] == 0.0


def test_the_summary_has_the_promised_fields() -> None:
    made = record(verdict(), transition())
    summary = made.summary(events=1000, markets=2, seconds=2.0, now_us=START_US + MINUTE_US)
    assert (
        summary.items()
        >= {
            "type": "summary",
            "events": 1000,
            "markets": 2,
            "seconds": 2.0,
            "events_per_second": 500,
            "verdicts": {"warning": 0, "danger": 1, "critical": 0},
            "quarantines": 1,
            "blocked_minutes": 1.0,
        }.items()
    )
    assert summary["digest"].startswith("sha256:")


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 600)), max_size=40))
def test_blocked_time_counts_each_target_once_whatever_the_reasons(steps: Sequence[tuple[int, bool, int]]) -> None:
    blocked, at_s, held, total = BlockedTime(), 0, set[str](), 0
    for reason, is_held, wait_s in steps:
        total += wait_s if held else 0
        at_s += wait_s
        name = f"rule{reason}"
        blocked.take(transition(state=HELD if is_held else FREE, at_us=at_s * 1_000_000, rule=name))
        held = held | {name} if is_held else held - {name}
    assert blocked.minutes(at_s * 1_000_000) == pytest.approx(total / 60)
    assert len(blocked._reasons) == bool(held)


def test_the_digest_is_that_of_the_lines_in_their_order() -> None:
    def digest(*entries: Any) -> str:  # noqa: ANN401 - likewise
        log = DecisionLog()
        for line in lines_of(decided(*entries)):
            json.dumps(line)
            log.write(line)
        return log.digest

    one, two = verdict(), transition()
    assert digest(one, two) == digest(one, two) != digest(two, one)


def test_times_have_milliseconds_and_a_zone() -> None:
    assert stamp(1_536_334_200_999_999) == "2018-09-07T15:30:00.999Z"


def test_a_bot_that_left_no_summary_has_no_lines() -> None:
    assert bot_lines([]) == bot_lines([{"market": "x"}]) == []


@pytest.mark.parametrize("urls", [{"api": "http://a", "api.public": "http://b"}, {"api.public": "http://b", "api": "http://a"}])
def test_an_address_inside_an_address_is_refused(urls: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"api is one address and cannot hold api\.public"):
        _nested("okx", urls)


def test_an_act_that_no_rule_could_see_is_told_apart_from_a_missed_one() -> None:
    for is_ready in (True, False):
        (judged,) = record().against([act()], can_tell=lambda *_, told=is_ready: told)["truth"]
        assert (judged["found_after_s"], judged["ready"]) == (None, is_ready)
