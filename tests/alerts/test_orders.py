"""What is posted and called, when, and by whom it may be ordered; pure, on made verdicts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import MINUTE_US, START_US, delivery, transition, verdict
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from guard.alerts.events import action_event, event_of
from guard.alerts.orders import OrderDesk
from guard.model import (
    ActionEvent,
    ActionKind,
    ActionOrder,
    Contribution,
    Delivery,
    IsolationState,
    Level,
    Market,
    Mode,
    Quarantine,
    RiskScore,
    RuleMode,
    Transition,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

POST = ActionOrder(ActionKind.WEBHOOK, "bot")
CALL = ActionOrder(ActionKind.CALL, "notebook.append", 3_000_000, '{"folder":"."}')
HOUR_US = 60 * MINUTE_US


def found(level: Level = Level.DANGER, *orders: ActionOrder, **changes: Any) -> Verdict:  # noqa: ANN401 - the keys of `verdict`
    return verdict(level=level, **changes)._replace(orders=orders or (POST, CALL))


class Desk:
    """An order desk, and what holds the market."""

    def __init__(self, mode: Mode = Mode.ENFORCE, **limits: int) -> None:
        self.desk = OrderDesk(mode, **limits)
        self.held: tuple[Quarantine, ...] = ()

    def holds(self, market: Market) -> Sequence[Quarantine]:
        return tuple(each for each in self.held if each.target.covers(market))

    def take(self, *verdicts: Verdict, transitions: Sequence[Transition] = (), at_us: int = START_US) -> tuple[Delivery, ...]:
        self.held = tuple(each.quarantine for each in transitions) or self.held
        return self.desk.process(verdicts, transitions, held=self.holds, at_us=at_us)


@pytest.mark.parametrize(
    ("ceiling", "mode", "lanes"),
    [
        (Mode.OBSERVE, RuleMode.ENFORCE, set()),
        (Mode.OBSERVE, RuleMode.ALERT, set()),
        (Mode.ALERT, RuleMode.SHADOW, set()),
        (Mode.ALERT, RuleMode.ALERT, {"webhook:bot"}),
        (Mode.ALERT, RuleMode.ENFORCE, {"webhook:bot"}),
        (Mode.ENFORCE, RuleMode.SHADOW, set()),
        (Mode.ENFORCE, RuleMode.DISABLED, set()),
        (Mode.ENFORCE, RuleMode.ALERT, {"webhook:bot"}),
        (Mode.ENFORCE, RuleMode.ENFORCE, {"webhook:bot", "call:notebook.append"}),
    ],
)
def test_modes_and_ceiling_decide_what_acts(ceiling: Mode, mode: RuleMode, lanes: set[str]) -> None:
    desk = Desk(ceiling)
    assert {each.channel for each in desk.take(found(mode=mode))} == lanes
    withheld = {lane for lane, counts in desk.desk.counts.items() if counts.get("withheld")}
    assert withheld == {"webhook:bot", "call:notebook.append"} - lanes


def test_body_of_a_webhook_has_the_documented_keys_and_values() -> None:
    opening = transition()
    (sent,) = Desk().take(found(Level.DANGER, POST), transitions=[opening])
    body = json.loads(sent.body)
    assert body == {
        "schema": 1,
        "id": sent.id,
        "event": "level",
        "rule": "pump_dump",
        "market": "sim:X/USDT",
        "level": "danger",
        "previous": "normal",
        "score": 0.84,
        "factors": {"price_volatility": 0.9, "volume_anomaly": 0.95, "order_book": None},
        "mode": "enforce",
        "at": "2024-10-04T00:00:00.000Z",
        "episode": sent.alert_id,
        "repeat": False,
        "quarantine": {
            "id": opening.quarantine.id,
            "target": "sim:X/USDT",
            "state": "quarantined",
            "block": "entries",
            "until": "2024-10-04T00:30:00.000Z",
        },
        "group": None,
    }
    assert sent.kind == "webhook"
    assert (sent.market, sent.rule, sent.level) == ("sim:X/USDT", "pump_dump", Level.DANGER)


def test_call_carries_its_time_and_arguments_and_an_event_that_actions_read() -> None:
    (sent,) = Desk().take(found(Level.CRITICAL, CALL))
    document = json.loads(sent.body)
    assert (document["timeout_us"], document["arguments"]) == (3_000_000, {"folder": "."})
    event = action_event(event_of(sent))
    assert isinstance(event, ActionEvent)
    assert (event.id, event.level, event.previous, event.quarantine) == (sent.id, Level.CRITICAL, Level.NORMAL, None)


def test_each_level_is_ordered_once_and_a_second_one_is_marked_as_repeat() -> None:
    desk = Desk()
    (first,) = desk.take(found(Level.WARNING, POST))
    (second,) = desk.take(found(Level.DANGER, POST, previous=Level.WARNING, episode_us=START_US), at_us=START_US + 1)
    (third,) = desk.take(found(Level.WARNING, POST, at_us=START_US + 5 * HOUR_US), at_us=START_US + 5 * HOUR_US)
    assert len({first.id, second.id, third.id}) == 3
    assert first.alert_id == second.alert_id != third.alert_id
    assert [event_of(each)["repeat"] for each in (first, second, third)] == [False, True, False]


def test_same_call_with_other_arguments_is_another_order() -> None:
    other = CALL._replace(arguments='{"folder":"notes"}')
    sent = Desk().take(found(Level.DANGER, CALL, other))
    assert len({each.id for each in sent}) == 2
    assert [event_of(each)["repeat"] for each in sent] == [False, False]


def test_end_of_an_episode_goes_to_the_webhooks_that_know_of_it_and_to_nobody_else() -> None:
    desk = Desk()
    over = verdict(level=Level.NORMAL, previous=Level.DANGER, episode_us=START_US, at_us=START_US + MINUTE_US)
    assert desk.take(over) == ()
    desk.take(found())
    (sent,) = desk.take(over, at_us=START_US + MINUTE_US)
    assert (sent.channel, event_of(sent)["event"], event_of(sent)["level"]) == ("webhook:bot", "clear", "normal")
    assert desk.take(over, at_us=START_US + 2 * MINUTE_US) == ()


def test_later_states_of_a_quarantine_are_told_and_its_opening_only_once() -> None:
    desk = Desk()
    assert len(desk.take(found(Level.DANGER, POST), transitions=[transition()])) == 1
    probation = transition(state=IsolationState.PROBATION, previous=IsolationState.QUARANTINED, cause="calm")
    again = transition(state=IsolationState.PROBATION, previous=IsolationState.PROBATION, cause="extend")
    over = transition(state=IsolationState.NORMAL, previous=IsolationState.PROBATION, cause="probation_end")
    sent = [each for step in (probation, again, over, over) for each in desk.take(transitions=[step], at_us=START_US + MINUTE_US)]
    assert [event_of(each)["quarantine"]["state"] for each in sent] == ["probation", "normal"]
    assert {event_of(each)["event"] for each in sent} == {"quarantine"}


def test_quarantine_of_another_rule_is_named_but_the_own_one_comes_first() -> None:
    desk = Desk()
    other = transition(rule="other")
    (sent,) = desk.take(found(Level.DANGER, POST), transitions=[other])
    assert event_of(sent)["quarantine"]["id"] == other.quarantine.id
    own = transition()
    desk.held = (other.quarantine, own.quarantine)
    (sent,) = desk.take(found(Level.CRITICAL, POST, previous=Level.DANGER))
    assert event_of(sent)["quarantine"]["id"] == own.quarantine.id


def test_what_is_too_much_for_an_hour_is_refused_and_counted() -> None:
    desk = Desk(hourly_max=2)
    sent = [
        each
        for number in range(5)
        for each in desk.take(found(Level.DANGER, POST, symbol=f"A{number}/USDT"), at_us=START_US + number)
    ]
    assert len(sent) == 2
    assert desk.desk.counts == {"webhook:bot": {"ordered": 2, "refused": 3}}
    assert desk.take(found(Level.DANGER, POST, symbol="B/USDT"), at_us=START_US + HOUR_US)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_is_not_finite_becomes_null(number: float) -> None:
    broken = found(Level.DANGER, POST)._replace(risk=RiskScore(number, (Contribution("a", 1.0, number, 0.0),)))
    (sent,) = Desk().take(broken)
    assert (event_of(sent)["score"], event_of(sent)["factors"]) == (None, {"a": None})


def test_hostile_name_of_a_market_stays_data() -> None:
    name = '"},"level":"normal\n\x1b[31m\udcff/USDT'
    (sent,) = Desk().take(found(Level.DANGER, POST, symbol=name))
    assert json.loads(sent.body)["market"] == f"sim:{name}"
    assert sent.body.encode()
    assert sent.title.isprintable()


def steps() -> st.SearchStrategy[list[tuple[int, Level, int]]]:
    return st.lists(st.tuples(st.integers(0, 2), st.sampled_from(Level), st.integers(0, 3)), max_size=25)


@hypothesis_settings(max_examples=60, deadline=None)
@given(steps(), st.integers(0, 25), st.booleans())
def test_saved_or_restored_desk_orders_what_the_first_would(
    plan: list[tuple[int, Level, int]],
    cut: int,
    from_ledger: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    first, second = Desk(hourly_max=10_000), Desk(hourly_max=10_000)
    stands: dict[int, tuple[Level, int]] = {}
    kept: list[Delivery] = []
    states = [*IsolationState]
    for number, (symbol, level, state) in enumerate(plan):
        at_us, name = START_US + number * MINUTE_US, f"A{symbol}/USDT"
        before, begun_us = stands.get(symbol, (Level.NORMAL, 0))
        begun_us = at_us if before is Level.NORMAL else begun_us
        is_change = level is not before and (level is Level.NORMAL or level > before)
        verdicts = [found(level, symbol=name, previous=before, at_us=at_us, episode_us=begun_us)] if is_change else []
        stands[symbol] = (level, begun_us) if is_change else (before, begun_us)
        change = [transition(name, states[state], previous=states[(state + 1) % 3])] if state < len(states) else []
        if number == cut:
            second.held = first.held
            if from_ledger:
                second.desk.restore(reversed(kept))
            else:
                second.desk.load(json.loads(json.dumps(first.desk.save())))
        sent = first.take(*verdicts, transitions=change, at_us=at_us)
        if number >= cut:
            assert second.take(*verdicts, transitions=change, at_us=at_us) == sent
        kept += sent
        assert len({each.id for each in kept}) == len(kept)


@pytest.mark.parametrize("body", ["", "[]", "{}", "null", '{"event": "level"}', '{"event": {"event": "level"}}'])
def test_body_that_another_version_wrote_keeps_nobody_from_starting(body: str) -> None:
    desk = Desk()
    (post, call) = desk.take(found())
    fresh = Desk().desk
    fresh.restore([post._replace(body=body), call._replace(body=body), delivery(channel="people")])
    assert all(counts == {"unreadable": 1} for counts in fresh.counts.values())


def test_a_level_told_again_because_its_mode_went_up_is_no_new_order_and_its_quarantine_is_told() -> None:
    desk = Desk()
    (first,) = desk.take(found(Level.DANGER, POST, mode=RuleMode.ALERT))
    again = found(Level.DANGER, CALL, at_us=START_US + MINUTE_US, episode_us=START_US)
    sent = desk.take(again, transitions=[transition()], at_us=START_US + MINUTE_US)
    assert [(each.channel, event_of(each)["event"]) for each in sent] == [
        ("call:notebook.append", "level"),
        ("webhook:bot", "quarantine"),
    ]
    over = verdict(level=Level.NORMAL, previous=Level.DANGER, episode_us=START_US, at_us=START_US + 2 * MINUTE_US)
    (last,) = desk.take(over, at_us=START_US + 2 * MINUTE_US)
    assert (event_of(last)["event"], last.alert_id) == ("clear", first.alert_id)
