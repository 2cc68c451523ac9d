"""Any sequence of holds, calm, orders and restarts, against the reference."""

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from quarantine.holds import MINUTE, X, hold
from quarantine.reference import NORMAL, QUARANTINED, Ask, Reference

from guard.model import IsolationState, Level, Quarantine, ReleaseQuarantine, Target, TargetKind, Transition
from guard.quarantine import IsolationManager

TARGETS = (Target(TargetKind.MARKET, str(X)), Target(TargetKind.BASE, "X"))
RULES = {
    "monitored": (Ask(5, 60, 4, 6), Ask(12, 90, 4, 6)),
    "timed": (Ask(5, 30, None, 0), Ask(7, 40, None, 0)),
    "direct": (Ask(3, 20, 3, 0), Ask(3, 20, 3, 0)),
}
MONITORED = ("monitored", "monitored", "direct")
KEYS = tuple((name, target) for name in RULES for target in TARGETS)
keys = st.sampled_from(KEYS)


class Quarantines(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now = 0
        self.manager, self.lazy = IsolationManager(), IsolationManager()
        self.log: list[Transition] = []
        self.lazy_log: list[Transition] = []
        self.references = {key: Reference() for key in KEYS}
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
                self.stays[after.id] = (began_us, after.until_us)
        self.log += transitions

    @rule(minutes=st.sampled_from([1, 2, 3, 4, 8, 40]), extra=st.integers(0, 3))
    def pass_time(self, minutes: int, extra: int) -> None:
        start = self.now
        self.now += minutes
        for part in range(extra):
            self.take(self.manager.advance((start + minutes * part // 3) * MINUTE))
        self.take(self.manager.advance(self.now * MINUTE))
        for each in self.references.values():
            each.go(self.now)

    @rule(key=keys, is_worse=st.booleans())
    def offend(self, key: tuple[str, Target], *, is_worse: bool) -> None:
        ask = RULES[key[0]][is_worse]
        wanted = hold(
            rule=key[0],
            target=key[1],
            level=Level.CRITICAL if is_worse else Level.DANGER,
            for_us=ask.for_min * MINUTE,
            max_us=ask.max_min * MINUTE,
            forget_us=ask.forget_min * MINUTE,
            release_for_us=None if ask.release_min is None else ask.release_min * MINUTE,
            probation_us=ask.probation_min * MINUTE,
        )
        self.take(self.manager.quarantine(wanted, self.now * MINUTE))
        self.lazy_log += self.lazy.quarantine(wanted, self.now * MINUTE)
        self.references[key].offend(ask)

    @rule(name=st.sampled_from(MONITORED), word=st.sampled_from([True, True, True, False, None]), minutes=st.integers(0, 5))
    def hear(self, name: str, word: bool | None, minutes: int) -> None:  # noqa: FBT001 drawn
        self.take(self.manager.calm(name, X, self.now * MINUTE, word))
        self.lazy_log += self.lazy.calm(name, X, self.now * MINUTE, word)
        for target in TARGETS:
            self.references[name, target].hear(word)
        self.pass_time(minutes, 0)

    @precondition(lambda self: self.manager.active())
    @rule(data=st.data(), grace=st.integers(0, 20))
    def release(self, data: st.DataObject, grace: int) -> None:
        chosen = data.draw(st.sampled_from(self.manager.active()))
        command = ReleaseQuarantine(None, chosen.id, "", "ann", grace * MINUTE)
        self.take(self.manager.operate(command, self.now * MINUTE))
        self.lazy_log += self.lazy.operate(command, self.now * MINUTE)
        self.references[chosen.hold.rule, chosen.target].release(grace)

    @rule(is_crash=st.sampled_from([False, False, False, True]))
    def restart(self, *, is_crash: bool) -> None:
        if is_crash:
            self.restart_from_the_ledger()
            return
        saved = json.dumps(self.manager.save())
        self.manager = IsolationManager()
        self.manager.load(json.loads(saved))
        assert json.dumps(self.manager.save()) == saved

    def restart_from_the_ledger(self) -> None:
        self.lazy_log += self.lazy.advance(self.now * MINUTE)
        remembered = (*self.manager.active(), *self.ended.values())
        for manager in (self.manager, self.lazy):
            manager.restore(remembered, self.now * MINUTE)
        for each in self.references.values():
            each.restart()

    @invariant()
    def states_are_those_of_the_reference(self) -> None:
        states = {(each.hold.rule, each.target): str(each.state) for each in self.manager.active()}
        assert {key: states.get(key, NORMAL) for key in KEYS} == {key: each.state for key, each in self.references.items()}

    @invariant()
    def no_end_passes_unannounced(self) -> None:
        for each in self.manager.active():
            assert each.until_us >= self.now * MINUTE
            assert each.until_us <= each.last_end_us + each.hold.probation_us

    @invariant()
    def the_strongest_reason_counts(self) -> None:
        states = {each.state for each in self.references.values()}
        expected = next((state for state in (QUARANTINED, "probation") if state in states), NORMAL)
        assert str(self.manager.state_of(X)) == expected

    def teardown(self) -> None:
        if not hasattr(self, "manager"):
            return
        self.pass_time(200, 2)
        self.lazy_log += self.lazy.advance(self.now * MINUTE)
        assert self.lazy_log == self.log
        for key, reference in self.references.items():
            mine = [each for each in self.log if (each.quarantine.hold.rule, each.quarantine.target) == key]
            changes = [
                (each.at_us // MINUTE, str(each.quarantine.state)) for each in mine if each.previous != each.quarantine.state
            ]
            assert changes == reference.told


Quarantines.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestQuarantines = Quarantines.TestCase
