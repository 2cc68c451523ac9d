"""What people order, and what they declared safe."""

import pytest
from quarantine.holds import HOUR, MINUTE, ON_X, X, hold

from guard.errors import OperationRefused
from guard.model import AddQuarantine, IsolationState, ReleaseQuarantine, Target, TargetKind
from guard.quarantine import AllowEntry, IsolationManager

BASE_X = Target(TargetKind.BASE, "X")


def release(target: Target | None = ON_X, identity: str | None = None, *, grace_us: int = 30 * MINUTE) -> ReleaseQuarantine:
    return ReleaseQuarantine(target, identity, "false alarm", "ann", grace_us)


def held() -> IsolationManager:
    manager = IsolationManager()
    manager.quarantine(hold(), 0)
    return manager


def test_a_persons_hold_ends_with_its_floor_and_without_probation() -> None:
    manager = IsolationManager()
    (opening,) = manager.operate(AddQuarantine(ON_X, HOUR, "delisting", "ann"), 0)
    assert (opening.cause, opening.actor, opening.quarantine.actor, opening.quarantine.until_us) == ("operator", "ann", "ann", HOUR)
    (end,) = manager.advance(2 * HOUR)
    assert (end.cause, end.at_us, end.quarantine.state) == ("floor", HOUR, IsolationState.NORMAL)


def test_a_longer_order_moves_the_end_and_a_shorter_one_is_refused() -> None:
    manager = IsolationManager()
    manager.operate(AddQuarantine(ON_X, HOUR, "delisting", "ann"), 0)
    (longer,) = manager.operate(AddQuarantine(ON_X, HOUR, "still", "bob"), 30 * MINUTE)
    assert (longer.cause, longer.quarantine.until_us, longer.actor) == ("operator", 90 * MINUTE, "bob")
    with pytest.raises(OperationRefused, match="held until 1970-01-01 01:30:00 UTC already"):
        manager.operate(AddQuarantine(ON_X, MINUTE, "less", "bob"), 31 * MINUTE)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (AddQuarantine(ON_X, 0, "", "ann"), "length above 0"),
        (AddQuarantine(Target(TargetKind.MARKET, "X"), HOUR, "", "ann"), "binance:PEPE/USDT"),
        (AddQuarantine(Target(TargetKind.BASE, ""), HOUR, "", "ann"), "empty base"),
        (release(None, None), "neither"),
        (release(None, "abc"), r"no quarantine has the id abc; held now: base:X \("),
        (release(ON_X), r"nothing holds sim:X/USDT itself; release what reaches it: base:X \([0-9a-f]{12}, pump_dump\)"),
        (release(Target(TargetKind.BASE, "Z")), "nothing holds base:Z; held now: base:X"),
        (release(BASE_X, "abc"), "base:X is not held by abc; it is held by base:X"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_a_reason(command: AddQuarantine | ReleaseQuarantine, text: str) -> None:
    manager = IsolationManager()
    manager.quarantine(hold(target=BASE_X), 0)
    before = manager.save()
    with pytest.raises(OperationRefused, match=text):
        manager.operate(command, 0)
    assert manager.save() == before


def test_a_release_starts_grace_for_those_rules_on_that_target() -> None:
    manager = held()
    (released,) = manager.operate(release(), MINUTE)
    assert (released.cause, released.actor, released.reason) == ("operator", "ann", "false alarm")
    assert released.quarantine.state is IsolationState.NORMAL
    assert manager.grace_until_us("pump_dump", ON_X) == 31 * MINUTE
    assert manager.quarantine(hold(), 31 * MINUTE - 1) == ()
    assert len(manager.quarantine(hold(rule="spoofing"), 31 * MINUTE - 1)) == 1
    assert len(manager.quarantine(hold(), 31 * MINUTE)) == 1


def test_grace_survives_a_restart_from_the_ledger() -> None:
    (released,) = held().operate(release(), MINUTE)
    manager = IsolationManager()
    manager.restore([released.quarantine], 2 * MINUTE)
    assert manager.quarantine(hold(forget_us=0), 3 * MINUTE) == ()


def test_a_release_by_id_leaves_the_other_reasons() -> None:
    manager = held()
    manager.quarantine(hold(rule="spoofing"), 0)
    first = manager.active()[0]
    manager.operate(release(None, first.id, grace_us=0), MINUTE)
    assert [each.hold.rule for each in manager.active()] == ["spoofing"]
    assert manager.grace_until_us("pump_dump", ON_X) is None


def test_what_became_due_before_a_refused_order_is_told_by_the_next_call() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(release_for_us=None, probation_us=0), 0)
    with pytest.raises(OperationRefused):
        manager.operate(release(), HOUR)
    assert manager.next_deadline_us == 30 * MINUTE
    assert [each.cause for each in manager.advance(HOUR)] == ["floor"]


@pytest.mark.parametrize(
    ("entry", "is_held"),
    [
        (AllowEntry(ON_X), False),
        (AllowEntry(BASE_X), False),
        (AllowEntry(Target(TargetKind.EXCHANGE, "sim")), False),
        (AllowEntry(Target(TargetKind.EXCHANGE, "other")), True),
        (AllowEntry(ON_X, frozenset({"pump_dump"})), False),
        (AllowEntry(ON_X, frozenset({"spoofing"})), True),
        (AllowEntry(ON_X, until_us=MINUTE), True),
        (AllowEntry(ON_X, until_us=MINUTE + 1), False),
    ],
)
def test_an_allow_entry_suppresses_the_rules_it_names_until_it_expires(entry: AllowEntry, *, is_held: bool) -> None:
    manager = IsolationManager()
    manager.allow([entry])
    assert bool(manager.quarantine(hold(), MINUTE)) is is_held
    assert manager.holds("pump_dump", X) is is_held


def test_an_allow_entry_does_not_reach_through_a_wider_hold() -> None:
    manager = IsolationManager()
    manager.allow([AllowEntry(ON_X), AllowEntry(BASE_X)])
    assert len(manager.quarantine(hold(target=Target(TargetKind.EXCHANGE, "sim")), 0)) == 1
    assert manager.quarantine(hold(target=Target(TargetKind.SYMBOL, "X/USDT")), 0) == ()


def test_a_person_may_hold_what_is_allowed() -> None:
    manager = IsolationManager()
    manager.allow([AllowEntry(ON_X)])
    assert len(manager.operate(AddQuarantine(ON_X, HOUR, "", "ann"), 0)) == 1
