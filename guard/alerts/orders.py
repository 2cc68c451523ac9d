"""From verdicts to the actions that rules order beside alerts: one delivery for each, on the lane of its webhook or action."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from guard.alerts.desk import delivery_id, episode_id
from guard.alerts.display import display
from guard.alerts.events import SCHEMA, about_hold, about_level, event_of
from guard.alerts.incident import Bounded
from guard.model import ActionKind, ActionOrder, Delivery, IsolationState, Level, Mode, RuleMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guard.model import Market, Quarantine, Transition, Verdict

__all__ = ["ACTION_KINDS", "OrderDesk"]

ACTION_KINDS = frozenset(map(str, ActionKind))
_HOURLY_MAX = 1000
_MEMORY = 4096
_HOUR_US = 3_600_000_000
_TITLE_MAX = 160
# What a bot reads an hour late may still help it; code that acts on a market of an hour ago may harm.
_TTL_US = {ActionKind.WEBHOOK: _HOUR_US, ActionKind.CALL: _HOUR_US // 6}


class OrderDesk:
    """Decide what is posted and called. Pure: time comes with the events.

    Parameters
    ----------
    mode
        The ceiling of guard.yaml.
    repeat_us
        How long an order for the same rule and market counts as a repetition, microseconds > 0.
    hourly_max
        Orders of one lane in an hour of event time, > 0; beyond that they are refused and counted.

    Notes
    -----
    A rule in mode alert or enforce posts, one in mode enforce calls, both under the ceiling; nothing else acts. One order is given
    for each level that an episode reaches. A webhook that was told of an episode is told of its end (``clear``), and of each later
    state of the quarantine that came with it (``quarantine``).

    A delivery's id is a hash of what it tells and its lane: replaying the same events makes the same deliveries. `counts` tells of
    each lane what was ``ordered``, ``withheld`` by the mode or the ceiling, and ``refused`` because of `hourly_max`.
    """

    def __init__(self, mode: Mode, *, repeat_us: int = 4 * _HOUR_US, hourly_max: int = _HOURLY_MAX) -> None:
        self._mode = mode
        self._repeat_us = repeat_us
        self._hourly_max = hourly_max
        self._last: Bounded[str, int] = Bounded(_MEMORY)
        self._episodes: Bounded[str, tuple[str, ...]] = Bounded(_MEMORY)
        self._quarantines: Bounded[str, tuple[str, ...]] = Bounded(_MEMORY)
        self._hours: dict[str, tuple[int, int]] = {}
        self._counts: dict[str, Counter[str]] = {}

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """What became of the orders of each lane."""
        return {lane: dict(counts) for lane, counts in sorted(self._counts.items())}

    def process(
        self,
        verdicts: Sequence[Verdict],
        transitions: Sequence[Transition],
        *,
        held: Callable[[Market], Sequence[Quarantine]],
        at_us: int,
    ) -> tuple[Delivery, ...]:
        """Return what is to be posted and called because of one step; `held` returns what holds a market, strongest first."""
        sent: list[Delivery] = []
        told: set[str] = set()
        for verdict in verdicts:
            if verdict.level > verdict.previous:
                hold = _hold_of(verdict, held(verdict.market))
                # A level that stands is told again where its rule may do more: then some know of the episode already.
                if not self._join(verdict, hold) and hold is not None and verdict.orders:
                    told.add(hold.id)
                sent += self._rise(verdict, hold, at_us)
            elif verdict.level is Level.NORMAL and self._episodes and episode_id(verdict) in self._episodes:
                sent += self._clear(verdict, _hold_of(verdict, held(verdict.market)), at_us)
        for transition in transitions if self._quarantines else ():
            quarantine = transition.quarantine
            if quarantine.state is not transition.previous and quarantine.id not in told:
                sent += self._change(quarantine, at_us)
        return tuple(sent)

    def _rise(self, verdict: Verdict, hold: Quarantine | None, at_us: int) -> list[Delivery]:
        sent = []
        for order in verdict.orders:
            if not self._may(order.kind, verdict.mode):
                self._count(order.lane, "withheld")
            elif self._takes_place(order.lane, at_us):
                event = about_level(verdict, hold, self._effective(verdict.mode))
                key = _key(verdict.rule, verdict.subject, order.lane, order.arguments)
                event["repeat"] = at_us - self._last.get(key, -self._repeat_us) < self._repeat_us
                self._last[key] = at_us
                sent.append(_delivery(order, event, verdict.level, order.arguments, at_us))
                if order.kind is ActionKind.WEBHOOK:
                    self._note(event, order.lane)
        return sent

    def _join(self, verdict: Verdict, hold: Quarantine | None) -> bool:
        """Let those who know of an episode that is told anew hear of its quarantine; returns whether there are any."""
        lanes = self._episodes.get(episode_id(verdict), ()) if self._episodes and verdict.previous is Level.NORMAL else ()
        if hold is not None and hold.hold.rule == verdict.rule:
            for lane in lanes:
                _add(self._quarantines, hold.id, lane)
        return bool(lanes)

    def _clear(self, verdict: Verdict, hold: Quarantine | None, at_us: int) -> list[Delivery]:
        """Tell those who were told of an episode that it is over."""
        event = about_level(verdict, hold, self._effective(verdict.mode))
        lanes = self._episodes.pop(episode_id(verdict))
        return [_delivery(_webhook(lane), event, verdict.previous, "", at_us) for lane in lanes if self._takes_place(lane, at_us)]

    def _change(self, quarantine: Quarantine, at_us: int) -> list[Delivery]:
        """Tell those who were told of a quarantine that its state is another one."""
        lanes = self._quarantines.get(quarantine.id, ())
        if quarantine.state is IsolationState.NORMAL:
            self._quarantines.pop(quarantine.id, None)
        event, level = about_hold(quarantine, self._effective(RuleMode.ENFORCE), at_us), quarantine.hold.level
        detail = f"{quarantine.id}|{quarantine.state}|{at_us}"
        return [_delivery(_webhook(lane), event, level, detail, at_us) for lane in lanes if self._takes_place(lane, at_us)]

    def _note(self, event: Mapping[str, Any], lane: str) -> None:
        """Remember that a webhook was told of an episode and of the quarantine in it."""
        hold = event["quarantine"]
        _add(self._episodes, event["episode"], lane)
        if hold is not None:
            _add(self._quarantines, hold["id"], lane)

    def _may(self, kind: ActionKind, mode: RuleMode) -> bool:
        if kind is ActionKind.CALL:
            return mode is RuleMode.ENFORCE and self._mode is Mode.ENFORCE
        return mode in {RuleMode.ALERT, RuleMode.ENFORCE} and self._mode is not Mode.OBSERVE

    def _effective(self, mode: RuleMode) -> RuleMode:
        return mode if self._mode is Mode.ENFORCE else RuleMode.ALERT

    def _takes_place(self, lane: str, at_us: int) -> bool:
        """Take one place of the lane's hour."""
        now = at_us // _HOUR_US
        hour, used = self._hours.get(lane, (now, 0))
        used = used if hour == now else 0
        is_free = used < self._hourly_max
        self._hours[lane] = (now, used + is_free)
        self._count(lane, "ordered" if is_free else "refused")
        return is_free

    def _count(self, lane: str, what: str) -> None:
        self._counts.setdefault(lane, Counter())[what] += 1

    def restore(self, recent: Iterable[Delivery]) -> None:
        """Remember from the ledger who was told of what in the last day, after a start without saved state."""
        once = {each.id: each for each in recent if each.kind in ACTION_KINDS}
        for each in sorted(once.values(), key=lambda each: (each.created_us, each.id)):
            try:
                self._restore_one(each)
            except (ValueError, KeyError, TypeError):
                # Another version wrote it. Not to know of it costs a mark or an end; not to start would cost all protection.
                self._count(each.channel, "unreadable")

    def _restore_one(self, each: Delivery) -> None:
        event, lane, arguments = event_of(each), each.channel, "{}"
        if each.kind == ActionKind.CALL:
            arguments = json.dumps(json.loads(each.body)["arguments"], sort_keys=True, separators=(",", ":"))
        if event["event"] == "level":
            self._last[_key(each.rule, event["group"] or each.market, lane, arguments)] = each.created_us
        if each.kind == ActionKind.CALL:
            return
        if event["event"] == "level":
            self._note(event, lane)
        elif event["event"] == "clear":
            self._episodes.pop(event["episode"], None)
        elif event["quarantine"]["state"] == IsolationState.NORMAL:
            self._quarantines.pop(event["quarantine"]["id"], None)

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "last": [[key, at_us] for key, at_us in self._last.items()],
            "episodes": [[name, list(lanes)] for name, lanes in self._episodes.items()],
            "quarantines": [[name, list(lanes)] for name, lanes in self._quarantines.items()],
            "hours": [[lane, *hour] for lane, hour in self._hours.items()],
            "counts": self.counts,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state that `save` returned."""
        self._last.refill((key, at_us) for key, at_us in state["last"])
        self._episodes.refill((name, tuple(lanes)) for name, lanes in state["episodes"])
        self._quarantines.refill((name, tuple(lanes)) for name, lanes in state["quarantines"])
        self._hours = {lane: (hour, used) for lane, hour, used in state["hours"]}
        self._counts = {lane: Counter(counts) for lane, counts in state["counts"].items()}


def _delivery(order: ActionOrder, event: Mapping[str, Any], level: Level, detail: str, at_us: int) -> Delivery:
    about = f"{event['event']}|{event['rule']}|{event['market']}|{event['level']}|{event['episode']}|{detail}"
    name = delivery_id(about, str(order.kind), order.lane)
    document: dict[str, Any] = {"schema": SCHEMA, "id": name, **event}
    if order.kind is ActionKind.CALL:
        document = {"event": document, "timeout_us": order.timeout_us, "arguments": json.loads(order.arguments)}
    state = event["quarantine"]["state"] if event["event"] == "quarantine" else event["level"]
    return Delivery(
        id=name,
        alert_id=event["episode"] or event["quarantine"]["id"],
        channel=order.lane,
        kind=str(order.kind),
        level=level,
        title=display(f"{event['rule']}: {event['market']} is {state}", limit=_TITLE_MAX),
        body=json.dumps(document, separators=(",", ":"), allow_nan=False),
        created_us=at_us,
        due_us=at_us,
        expires_us=at_us + _TTL_US[order.kind],
        market=event["market"],
        rule=event["rule"],
    )


def _hold_of(verdict: Verdict, held: Sequence[Quarantine]) -> Quarantine | None:
    """Return the quarantine to speak of: the rule's own, else the one that counts."""
    own = [each for each in held if each.hold.rule == verdict.rule]
    return next(iter([*own, *held]), None)


def _webhook(lane: str) -> ActionOrder:
    return ActionOrder(ActionKind.WEBHOOK, lane.removeprefix(f"{ActionKind.WEBHOOK}:"))


def _key(rule: str, market: str, lane: str, arguments: str) -> str:
    return f"{rule}|{market}|{lane}|{arguments}"


def _add(told: Bounded[str, tuple[str, ...]], name: str, lane: str) -> None:
    before = told.get(name, ())
    told[name] = before if lane in before else (*before, lane)
