"""The ledger, the snapshot and a start, through any sequence of what may happen, against a reference in plain Python.

`make ledger-machine` takes 10,000 steps.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from quarantine.holds import DAY, MINUTE, X, hold
from store.decisions import HandClock, delivery

from guard.client.snapshot import read_snapshot
from guard.errors import OperationRefused, StateError
from guard.model import (
    AddQuarantine,
    Block,
    Decision,
    Delivery,
    DeliveryState,
    Image,
    IsolationState,
    Mode,
    Quarantine,
    ReleaseQuarantine,
    Target,
    TargetKind,
    Transition,
)
from guard.quarantine import IsolationManager, VisibleBlocks
from guard.runtime.ledger_keeper import LedgerKeeper
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.state import StateFolder
from guard.runtime.taking import REBUILT, take_ledger
from guard.store.verify import verify_ledger

if TYPE_CHECKING:
    from collections.abc import Coroutine

START = 4_000_000_000_000_000
RULES = ("pump", "thin", "wash")
TARGETS = (
    Target(TargetKind.MARKET, str(X)),
    Target(TargetKind.BASE, "X"),
    Target(TargetKind.SYMBOL, "X/USDT"),
    Target(TargetKind.EXCHANGE, "sim"),
)
rules, targets = st.sampled_from(RULES), st.sampled_from(TARGETS)
WHERE = st.sampled_from(["nowhere", "before COMMIT", "before COMMIT, shown", "before publishing", "before the journal"])


class Ledger:
    """What a ledger has to hold, in plain Python."""

    def __init__(self) -> None:
        self.epoch = 0
        self.audit: list[Transition] = []
        self.quarantines: dict[str, Quarantine] = {}
        self.deliveries: dict[str, Delivery] = {}

    def commit(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            for change in decision.transitions:
                self.audit.append(change)
                self.quarantines[change.quarantine.id] = change.quarantine
            for each in decision.deliveries:
                self.deliveries.setdefault(each.id, each)

    def held(self) -> set[str]:
        return {each.id for each in self.quarantines.values() if each.state is not IsolationState.NORMAL}


class Machine(RuleBasedStateMachine):
    """A guard's ledger with all that writes to it; crashes let go of everything but the files."""

    steps = 0
    seen: set[str] = set()  # noqa: RUF012 - what all examples together saw

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own is made in it
        self.folder = Path(tempfile.mkdtemp(dir=memory))
        self.clock = HandClock(START)
        self.reference = Ledger()
        self.shown: dict[str, Quarantine] = {}
        self.made = 0
        self.old: Any = None
        self.is_open = False
        self.start()

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            if self.is_open:
                self.let_go()
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        return self.loop.run_until_complete(what)

    def start(self) -> None:
        """Start as guard does, and hold what it remembers against the reference."""
        self.state = StateFolder(self.folder / "state").open()
        taken = self.run(take_ledger(self.state, self.clock))
        self.taken, self.store = taken, taken.store
        self.is_open = True
        self.reference.epoch += 1
        # A block that was shown and never written comes in as it was shown, or what holds the target already is tightened.
        held = [each for each in taken.state.quarantines if each.state is not IsolationState.NORMAL]
        for each in self.shown.values():
            if each.id not in self.reference.quarantines and each.until_us > self.clock.us:
                (one,) = [one for one in held if (one.hold.rule, one.target) == (each.hold.rule, each.target)]
                assert one.until_us >= each.until_us
                assert one.block is each.block or one.block is Block.ENTRIES
        assert taken.adopted == len(self.run(self.store.changes(len(self.reference.audit))))
        for _, row in self.run(self.store.changes(len(self.reference.audit))):
            after = next(one for one in taken.state.quarantines if one.id == row["quarantine"]["id"])
            change = Transition(self.clock.us, after, IsolationState(row["previous"]), row["cause"], row["actor"], row["reason"])
            assert row["cause"] == "snapshot"
            self.seen.add("adopted")
            self.reference.commit([Decision(self.clock.us, transitions=(change,))])
        if taken.rebuilt is not None:
            self.seen.add("rebuilt")
            self.run(self.store.keep_note(REBUILT, None))
        self.visible = VisibleBlocks(taken.state.quarantines)
        self.manager = IsolationManager()
        self.manager.restore(taken.state.quarantines, self.clock.us)
        self.publisher = SnapshotPublisher(self.state.snapshot_folder, self.clock)
        self.keeper = LedgerKeeper(
            self.state.ledger, self.state.backups(), self.clock, epoch=taken.state.epoch, every_us=DAY, announce=lambda *_: None
        )
        self.store.on_written = self.keeper.written
        self.seq = taken.state.seq
        self.publish()
        self.keeper._write_journal()

    def let_go(self) -> None:
        """End as kill -9 does: the files stay."""
        self.is_open = False
        if self.keeper._journal is not None:
            self.keeper._journal.close()
        self.publisher._release()
        self.run(self.store.close())
        self.state.close()

    def publish(self, *waiting: Transition) -> None:
        blocks = self.visible.show(waiting)
        image = Image(Mode.ENFORCE, self.clock.us, {}, blocks, {"*": {}})
        self.publisher.publish(image, epoch=self.taken.state.epoch, seq=self.seq, durable=not waiting)
        self.shown = {each.id: each for each in blocks}

    def decide(self, *groups: tuple[Transition, ...], crash: str) -> None:
        """Commit what was decided, publish, keep the journal; or end before one of these."""
        decisions = []
        for changes in groups:
            self.made += 1
            sent = (delivery(f"d{self.made}", created_us=self.clock.us, due_us=self.clock.us),) if changes else ()
            decisions.append(Decision(self.clock.us, transitions=changes, deliveries=sent))
        if crash.startswith("before COMMIT"):
            if crash.endswith("shown"):
                self.publish(*(change for decision in decisions for change in decision.transitions))
            self.seen.add(crash)
            self.let_go()
            self.start()
            return
        self.seq = self.run(self.store.commit(decisions, epoch=self.taken.state.epoch))
        self.reference.commit(decisions)
        self.visible.commit(change for decision in decisions for change in decision.transitions)
        if crash != "before publishing":
            self.publish()
            if crash != "before the journal":
                self.keeper._write_journal()
        if crash != "nowhere":
            self.seen.add(crash)
            self.let_go()
            self.start()

    @rule(name=rules, aim=targets, crash=WHERE, again=st.booleans())
    def quarantine(self, name: str, aim: Target, crash: str, *, again: bool) -> None:
        asked = hold(rule=name, target=aim, for_us=5 * MINUTE, max_us=60 * MINUTE)
        groups = [self.manager.quarantine(asked, self.clock.us)]
        if again:
            groups.append(self.manager.quarantine(asked._replace(rule="other"), self.clock.us))
        self.decide(*groups, crash=crash)

    @rule(minutes=st.sampled_from([1, 4, 30, 200, 1500]), name=rules, calm=st.sampled_from([True, False, None]), crash=WHERE)
    def pass_time(self, minutes: int, name: str, *, calm: bool | None, crash: str) -> None:
        heard = self.manager.calm(name, X, self.clock.us, calm)
        self.clock.us += minutes * MINUTE
        self.decide(heard, self.manager.advance(self.clock.us), crash=crash)
        self.seen |= {f"{each.previous} to {each.quarantine.state}" for each in self.reference.audit[-8:]}

    @rule(aim=targets, crash=WHERE, is_release=st.booleans())
    def operate(self, aim: Target, crash: str, *, is_release: bool) -> None:
        order: Any = AddQuarantine(aim, 9 * MINUTE, "news", "ann")
        if is_release:
            order = ReleaseQuarantine(aim, None, "fine", "ann")
        try:
            changes = self.manager.operate(order, self.clock.us)
        except OperationRefused:
            return
        self.decide(changes, crash=crash)

    @precondition(lambda self: self.reference.deliveries)
    @rule(data=st.data(), state=st.sampled_from(DeliveryState))
    def settle(self, data: st.DataObject, state: DeliveryState) -> None:
        waiting = [each for each in self.reference.deliveries.values() if each.state is DeliveryState.PENDING]
        if not waiting:
            return
        chosen = data.draw(st.sampled_from(waiting))
        done = chosen._replace(state=state, attempts=chosen.attempts + 1, due_us=self.clock.us + MINUTE)
        self.run(self.store.settle(done))
        self.reference.deliveries[done.id] = done
        self.keeper._write_journal()

    @rule()
    def back_up(self) -> None:
        self.keeper.back_up()

    @rule()
    def restart(self) -> None:
        self.let_go()
        self.start()

    @rule(damage=st.sampled_from(["zeros", "gone", "cut"]))
    def damage(self, damage: str) -> None:
        self.let_go()
        ledger = self.state.ledger
        if damage == "gone":
            ledger.unlink()
        else:
            ledger.write_bytes(bytes(8192) if damage == "zeros" else ledger.read_bytes()[:5000])
        self.start()
        self.seen.add(damage)

    @rule(name=rules)
    def older_guard_writes(self, name: str) -> None:
        """Let a guard that was suspended wake after another took over: nothing of it counts."""
        changes = IsolationManager().quarantine(hold(rule=name), self.clock.us)
        old = self.taken.state.epoch - 1
        try:
            self.run(self.store.commit([Decision(self.clock.us, transitions=changes)], epoch=old))
        except StateError:
            return
        raise AssertionError("an older epoch was accepted")

    @invariant()
    def is_what_the_reference_says(self) -> None:
        if not hasattr(self, "store"):
            return
        type(self).steps += 1
        state = self.run(self.store.load())
        reference = self.reference
        assert (state.epoch, state.seq) == (reference.epoch, len(reference.audit))
        told = self.run(self.store.quarantines(list(reference.quarantines)))
        assert {each.id: each for each in told} == reference.quarantines
        active = {each.id for each in state.quarantines if each.state is not IsolationState.NORMAL}
        assert active == reference.held()
        pending = {each.id: each for each in reference.deliveries.values() if each.state is DeliveryState.PENDING}
        assert {each.id: each for each in state.pending} == pending
        counts = self.run(self.store.outbox()).get("ops", {})
        assert sum(counts.values()) == len(reference.deliveries)
        bots = read_snapshot(str(self.state.snapshot))
        assert bots is not None
        assert reference.held() == {each.id for each in bots.blocks}
        if self.steps % 5 == 0:
            assert verify_ledger(self.state.ledger, now_us=self.clock.us).seq == len(reference.audit)


EVERYTHING = {"adopted", "rebuilt", "zeros", "gone", "cut", "before COMMIT", "before COMMIT, shown", "before publishing"}


def campaign(steps: int, number: int) -> None:
    """Take at least so many steps; raises AssertionError at the first difference."""
    Machine.steps = 0
    Machine.seen = set()
    while Machine.steps < steps:
        examples = max(1, (steps - Machine.steps) // 50)
        chosen = settings(
            max_examples=min(examples, 100),
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        seeded = seed(number + Machine.steps)(Machine)
        run_state_machine_as_test(seeded, settings=chosen)


if __name__ == "__main__":
    campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, 1)
    sys.stdout.write(f"{Machine.steps} steps, 0 differences; seen: {', '.join(sorted(Machine.seen))}\n")
    sys.exit(not Machine.seen >= EVERYTHING)
