"""Any sequence of holds, calm, orders, allow entries and restarts, on every kind of target, against the reference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from quarantine.holds import SECOND, hold
from quarantine.reference import NORMAL, PROBATION, QUARANTINED, Allowed, Ask, Reference

from guard.errors import OperationRefused
from guard.model import (
    AddAllow,
    AddQuarantine,
    ExtendQuarantine,
    IsolationState,
    Level,
    Market,
    Quarantine,
    ReleaseQuarantine,
    RemoveAllow,
    Target,
    TargetKind,
    Transition,
)
from guard.quarantine import IsolationManager

if TYPE_CHECKING:
    from guard.model import Command

STEP = 10 * SECOND
# One coin under two spellings on two exchanges, and another coin.
X, KX, Y = (Market.parse(name) for name in ("sim:PEPE/USDT", "okx:1000PEPE/USDT", "sim:YAWN/USDT"))
MARKETS = {"X": X, "KX": KX, "Y": Y}
TARGETS = {
    "x": Target(TargetKind.MARKET, str(X)),
    "kx": Target(TargetKind.MARKET, str(KX)),
    "symbol": Target(TargetKind.SYMBOL, "PEPE/USDT"),
    "base": Target(TargetKind.BASE, "PEPE"),
    "sim": Target(TargetKind.EXCHANGE, "sim"),
}
# Written by hand: which markets a target holds, who may tip it, and which targets lie within an allow entry.
REACH = {"x": "X", "kx": "KX", "symbol": "X KX", "base": "X KX", "sim": "X Y"}
WITHIN = {"x": "x", "kx": "kx", "symbol": "x kx symbol", "base": "x kx symbol base"}
RULES = {
    "monitored": (Ask(5, 60, 4, 6), Ask(12, 90, 4, 6)),
    "timed": (Ask(5, 30, None, 0), Ask(7, 40, None, 0)),
    "direct": (Ask(3, 20, 3, 0), Ask(3, 20, 3, 0)),
    "steady": (Ask(2, 600, 1, 2, factor=1), Ask(2, 600, 1, 2, factor=1)),
}
PERSON = "operator"
KEYS = tuple((name, at) for name in (*RULES, PERSON) for at in TARGETS)
NAMES = {target: at for at, target in TARGETS.items()}


class Quarantines(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now = 0
        self.manager, self.lazy = IsolationManager(), IsolationManager()
        self.log: list[Transition] = []
        self.lazy_log: list[Transition] = []
        self.references = {key: Reference() for key in KEYS}
        self.allowed: list[Allowed] = []
        self.ended: dict[tuple[str, Target], Quarantine] = {}
        self.stays: dict[str, tuple[int, int]] = {}

    def take(self, transitions: tuple[Transition, ...]) -> None:
        for each in transitions:
            after, key = each.quarantine, (each.quarantine.hold.rule, each.quarantine.target)
            if after.state is IsolationState.NORMAL:
                self.ended[key] = after
            if after.state is IsolationState.QUARANTINED:
                began_us, until_us = self.stays.get(after.id, (each.at_us, 0))
                if each.previous is not IsolationState.QUARANTINED:
                    began_us, until_us = each.at_us, 0
                assert after.until_us > until_us
                assert after.until_us <= began_us + after.hold.max_us
                assert (after.hold.zone == "") is (after.hold.rule == PERSON)
                self.stays[after.id] = (began_us, after.until_us)
        self.log += transitions

    def ordered(self, command: Command) -> None:
        """Let both managers carry an order out; they agree whether they can."""
        at_us, refused = self.now * STEP, 0
        for manager, taken in ((self.manager, self.take), (self.lazy, self.lazy_log.extend)):
            try:
                taken(manager.operate(command, at_us))  # type: ignore[arg-type]
            except OperationRefused:
                refused += 1
        assert refused in (0, 2)
        if refused:
            raise OperationRefused("")

    @rule(steps=st.sampled_from([1, 2, 3, 4, 8, 40, 150]), extra=st.integers(0, 3))
    def pass_time(self, steps: int, extra: int) -> None:
        start = self.now
        self.now += steps
        for part in range(extra):
            self.take(self.manager.advance((start + steps * part // 3) * STEP))
        self.take(self.manager.advance(self.now * STEP))
        for each in self.references.values():
            each.go(self.now)

    @rule(name=st.sampled_from(tuple(RULES)), at=st.sampled_from(tuple(TARGETS)), tip=st.integers(0, 1), is_worse=st.booleans())
    def offend(self, name: str, at: str, tip: int, *, is_worse: bool) -> None:
        ask = RULES[name][is_worse]
        speakers = REACH[at].split()
        speaker = speakers[tip % len(speakers)]
        wanted = hold(
            rule=name,
            market=MARKETS[speaker],
            # As a rule aims it: by the market's own spelling.
            target=Target(TargetKind.BASE, MARKETS[speaker].base) if at == "base" else TARGETS[at],
            level=Level.CRITICAL if is_worse else Level.DANGER,
            for_us=ask.least * STEP,
            max_us=ask.longest * STEP,
            forget_us=ask.forget * STEP,
            factor=float(ask.factor),
            release_for_us=None if ask.release is None else ask.release * STEP,
            probation_us=ask.probation * STEP,
        )
        self.take(self.manager.quarantine(wanted, self.now * STEP))
        self.lazy_log += self.lazy.quarantine(wanted, self.now * STEP)
        over = [each for each in self.allowed if self.now < each.until and at in WITHIN[each.target].split()]
        if not any(not each.rules or name in each.rules for each in over):
            self.references[name, at].offend(ask, speaker)

    @rule(
        name=st.sampled_from(("monitored", "monitored", "direct", "steady")),
        market=st.sampled_from(tuple(MARKETS)),
        word=st.sampled_from([True, True, True, False, None]),
        steps=st.integers(0, 5),
    )
    def hear(self, name: str, market: str, word: bool | None, steps: int) -> None:  # noqa: FBT001 drawn
        self.take(self.manager.calm(name, MARKETS[market], self.now * STEP, word))
        self.lazy_log += self.lazy.calm(name, MARKETS[market], self.now * STEP, word)
        for at, reached in REACH.items():
            if market in reached.split():
                self.references[name, at].hear(market, word)
        self.pass_time(steps, 0) if steps else None

    @rule(at=st.sampled_from(tuple(TARGETS)), length=st.sampled_from([1, 6, 50]))
    def order(self, at: str, length: int) -> None:
        command = AddQuarantine(TARGETS[at], length * STEP, "rumour", "ann")
        if self.references[PERSON, at].order(length):
            self.ordered(command)
        else:
            with pytest.raises(OperationRefused):
                self.ordered(command)

    @precondition(lambda self: self.manager.active())
    @rule(data=st.data(), grace=st.integers(0, 20))
    def release(self, data: st.DataObject, grace: int) -> None:
        chosen = data.draw(st.sampled_from(self.manager.active()))
        self.ordered(ReleaseQuarantine(None, chosen.id, "", "ann", grace * STEP))
        self.references[chosen.hold.rule, NAMES[chosen.target]].release(grace)

    @precondition(lambda self: self.manager.active())
    @rule(data=st.data(), length=st.sampled_from([1, 9, 100, 1000]))
    def extend(self, data: st.DataObject, length: int) -> None:
        # What is due now comes first, an end that is announced anew for example.
        self.take(self.manager.advance(self.now * STEP))
        chosen = data.draw(st.sampled_from(self.manager.active()))
        command = ExtendQuarantine(None, chosen.id, length * STEP, "", "ann")
        if (self.now + length) * STEP <= chosen.until_us:
            with pytest.raises(OperationRefused):
                self.ordered(command)
            return
        self.ordered(command)
        self.references[chosen.hold.rule, NAMES[chosen.target]].extend(length)

    @rule(
        at=st.sampled_from(tuple(WITHIN)),
        names=st.sampled_from([(), ("monitored",), ("direct", "steady")]),
        length=st.integers(1, 60),
    )
    def allow(self, at: str, names: tuple[str, ...], length: int) -> None:
        same = [each.until for each in self.allowed if (each.target, each.rules) == (at, names) and each.until > self.now]
        command = AddAllow(TARGETS[at], names, length * STEP, "ours", "ann")
        for manager in (self.manager, self.lazy):
            if same and max(same) >= self.now + length:
                with pytest.raises(OperationRefused):
                    manager.allowed.operate(command, self.now * STEP)
            else:
                (change,) = manager.allowed.operate(command, self.now * STEP)
                assert change.entry.until_us == (self.now + length) * STEP
        if not same or max(same) < self.now + length:
            self.allowed.append(Allowed(at, names, self.now + length))

    @precondition(lambda self: any(each.until > self.now for each in self.allowed))
    @rule(data=st.data())
    def allow_no_more(self, data: st.DataObject) -> None:
        at = data.draw(st.sampled_from(sorted({each.target for each in self.allowed if each.until > self.now})))
        for manager in (self.manager, self.lazy):
            assert manager.allowed.operate(RemoveAllow(TARGETS[at], None, "", "ann"), self.now * STEP)
        self.allowed = [each for each in self.allowed if each.target != at]

    @rule(is_crash=st.sampled_from([False, False, False, True]))
    def restart(self, *, is_crash: bool) -> None:
        if is_crash:
            self.restart_from_the_ledger()
            return
        saved, due_us = json.dumps(self.manager.save()), self.manager.next_deadline_us
        self.manager = IsolationManager()
        self.manager.load(json.loads(saved))
        # When something is due is kept while it runs and found anew when it is loaded.
        assert (json.dumps(self.manager.save()), self.manager.next_deadline_us) == (saved, due_us)

    def restart_from_the_ledger(self) -> None:
        self.take(self.manager.advance(self.now * STEP))
        self.lazy_log += self.lazy.advance(self.now * STEP)
        remembered = (*self.manager.active(), *self.ended.values())
        entries = self.manager.allowed.all(self.now * STEP)
        for manager in (self.manager, self.lazy):
            manager.restore(remembered, self.now * STEP)
            manager.allowed.restore(entries, self.now * STEP)
        for each in self.references.values():
            each.restart()

    @invariant()
    def states_are_those_of_the_reference(self) -> None:
        states = {(each.hold.rule, NAMES[each.target]): str(each.state) for each in self.manager.active()}
        assert {key: states.get(key, NORMAL) for key in KEYS} == {key: each.state for key, each in self.references.items()}

    @invariant()
    def no_end_passes_unannounced(self) -> None:
        for each in self.manager.active():
            assert each.until_us >= self.now * STEP
            assert each.until_us <= each.last_end_us + each.hold.probation_us

    @invariant()
    def the_strongest_reason_counts_on_every_market(self) -> None:
        for market, parsed in MARKETS.items():
            over = [each.state for (_, at), each in self.references.items() if market in REACH[at].split()]
            expected = next((state for state in (QUARANTINED, PROBATION) if state in over), NORMAL)
            assert str(self.manager.state_of(parsed)) == expected
            covering = self.manager.covering(parsed)
            assert len(covering) == sum(state != NORMAL for state in over)
            assert list(covering) == sorted(covering, key=lambda each: (str(each.block) != "entries", -each.until_us, each.id))

    def teardown(self) -> None:
        if not hasattr(self, "manager"):
            return
        self.pass_time(1_500, 2)
        self.lazy_log += self.lazy.advance(self.now * STEP)
        assert self.lazy_log == self.log
        for key, reference in self.references.items():
            mine = [each for each in self.log if (each.quarantine.hold.rule, NAMES[each.quarantine.target]) == key]
            changes = [(each.at_us // STEP, str(each.quarantine.state)) for each in mine if each.previous != each.quarantine.state]
            assert changes == reference.told


Quarantines.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
TestQuarantines = Quarantines.TestCase
