"""Whatever comes is sent, digested, suppressed or waits, and a manager that is saved in the middle sends the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alerts.support import DAY_US, MINUTE_US, START_US, channel, policy, transition, verdict
from alerts.test_manager import CRITICAL, DANGER, NORMAL, PROBATION, QUARANTINED, WARNING, step
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.alerts.manager import AlertManager
from guard.model import Level, RuleMode

if TYPE_CHECKING:
    from guard.alerts.policy import AlertPolicy
    from guard.model import Delivery

    Events = list[tuple[str, str, Level, str, RuleMode, int]]

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["verdict", "open", "probation", "end", "extend", "system", "advance"]),
        st.sampled_from(["A/USDT", "B/USDT", "C/USDT"]),
        st.sampled_from([Level.NORMAL, WARNING, DANGER, CRITICAL]),
        st.sampled_from(["", "z"]),
        st.sampled_from(list(RuleMode)),
        st.integers(0, 6 * 60 * MINUTE_US),
    ),
    max_size=60,
)
STATES = {
    "open": (QUARANTINED, NORMAL),
    "probation": (PROBATION, QUARANTINED),
    "end": (NORMAL, PROBATION),
    "extend": (QUARANTINED, QUARANTINED),
}


def play(manager: AlertManager, events: Events, at_us: int = START_US) -> tuple[list[Delivery], int]:
    sent = []
    for what, symbol, level, zone, mode, gap_us in events:
        at_us += gap_us
        if what == "verdict":
            sent += step(manager, verdicts=[verdict(symbol, level, mode=mode, at_us=at_us)], at_us=at_us)
        elif what == "system":
            sent += manager.system(symbol, zone, "", level, at_us)
        elif what == "advance":
            sent += manager.advance(at_us)
        else:
            state, previous = STATES[what]
            sent += step(
                manager,
                transitions=[transition(symbol, state, previous=previous, level=level, zone=zone, at_us=at_us)],
                at_us=at_us,
            )
    return sent, at_us


def chatty() -> AlertPolicy:
    return policy(
        channel("chat", WARNING, DANGER, CRITICAL, daily_max=3), channel("pager", CRITICAL), channel("mail", DANGER, daily_max=1)
    )


@settings(max_examples=70, deadline=None)
@given(EVENTS)
def test_every_event_is_sent_digested_suppressed_or_waits_for_each_channel(events: Events) -> None:
    manager = AlertManager(chatty())
    sent, _ = play(manager, events)
    arrived = sum(1 for what, *_ in events if what != "advance")
    for counts in manager.counts.values():
        assert counts.get("events", 0) == arrived
        assert sum(counts.values()) == 2 * arrived
        assert min(counts.values(), default=0) >= 0
    assert len({each.id for each in sent}) == len(sent)
    for name, limit in (("chat", 3), ("pager", 10), ("mail", 1)):
        days = {each.created_us // DAY_US for each in sent}
        for day in days:
            mine = [each for each in sent if each.channel == name and each.created_us // DAY_US == day]
            assert sum(each.kind in {"quarantine", "verdict", "release"} for each in mine) <= limit
            assert sum(each.alert_id.startswith("held:") for each in mine) <= 1
            assert sum(each.alert_id.startswith("digest:") for each in mine) <= 1


@settings(max_examples=30, deadline=None)
@given(EVENTS, st.integers(0, 60))
def test_saved_and_loaded_in_the_middle_sends_the_same(events: Events, cut: int) -> None:
    whole, _ = play(AlertManager(chatty()), events)
    first = AlertManager(chatty())
    head, at_us = play(first, events[:cut])
    second = AlertManager(chatty())
    second.load(json.loads(json.dumps(first.save())))
    tail, _ = play(second, events[cut:], at_us)
    assert head + tail == whole
    assert second.counts == _counts_of(events)


def _counts_of(events: Events) -> dict[str, dict[str, int]]:
    manager = AlertManager(chatty())
    play(manager, events)
    return manager.counts
