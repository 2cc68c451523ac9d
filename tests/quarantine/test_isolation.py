"""The life of one quarantine, case by case."""

import json

import pytest
from quarantine.holds import DAY, HOUR, MINUTE, ON_X, SECOND, X, Y, hold

from guard.model import AddQuarantine, Block, IsolationState, Level, Market, Target, TargetKind, Transition
from guard.quarantine import IsolationManager

BASE_X = Target(TargetKind.BASE, "X")


def causes(transitions: tuple[Transition, ...]) -> list[str]:
    return [transition.cause for transition in transitions]


def opened(**changes: object) -> IsolationManager:
    manager = IsolationManager()
    assert causes(manager.quarantine(hold(**changes), 0)) == ["rule"]
    return manager


def test_calm_after_the_floor_leads_to_probation_then_normal() -> None:
    manager = opened()
    manager.calm("pump_dump", X, 5 * MINUTE, is_calm=True)
    probation, normal = manager.advance(2 * HOUR)
    assert (probation.cause, probation.at_us, probation.quarantine.block) == ("calm", 40 * MINUTE, Block.SHRINK)
    assert (normal.cause, normal.at_us, normal.previous) == ("probation_end", 70 * MINUTE, IsolationState.PROBATION)
    assert manager.active() == ()
    assert manager.next_deadline_us is None


def test_calm_before_the_floor_does_not_count() -> None:
    manager = opened()
    manager.calm("pump_dump", X, 0, is_calm=True)
    manager.calm("pump_dump", X, 29 * MINUTE, None)
    manager.calm("pump_dump", X, 31 * MINUTE, is_calm=True)
    assert [(each.cause, each.at_us) for each in manager.advance(41 * MINUTE)][-1] == ("calm", 41 * MINUTE)


def test_unknown_data_pauses_the_calm_clock_and_noise_resets_it() -> None:
    manager = opened()
    manager.calm("pump_dump", X, 30 * MINUTE, is_calm=True)
    manager.calm("pump_dump", X, 36 * MINUTE, None)
    assert manager.state_of(X) is IsolationState.QUARANTINED
    told = manager.calm("pump_dump", X, 50 * MINUTE, is_calm=True)
    assert set(causes(told)) == {"extend"}
    assert "calm" not in causes(manager.advance(54 * MINUTE - 1))
    assert causes(manager.advance(54 * MINUTE)) == ["calm"]

    manager = opened()
    manager.calm("pump_dump", X, 30 * MINUTE, is_calm=True)
    manager.calm("pump_dump", X, 36 * MINUTE, is_calm=False)
    manager.calm("pump_dump", X, 37 * MINUTE, is_calm=True)
    transitions = manager.advance(47 * MINUTE)
    assert [each.at_us for each in transitions if each.cause == "calm"] == [47 * MINUTE]


def test_noise_after_an_unknown_stretch_takes_back_all_that_was_counted() -> None:
    manager = opened()
    for at_us, word in ((30, True), (36, None), (37, False), (38, True)):
        manager.calm("pump_dump", X, at_us * MINUTE, word)
    assert [each.at_us for each in manager.advance(HOUR) if each.cause == "calm"] == [48 * MINUTE]


def test_silence_never_releases_before_the_longest_time() -> None:
    manager = opened(max_us=3 * HOUR)
    transitions = manager.advance(10 * HOUR)
    assert set(causes(transitions)) == {"extend", "max", "probation_end"}
    assert [each.at_us for each in transitions if each.cause == "max"] == [3 * HOUR]


def test_the_end_is_moved_before_it_passes() -> None:
    manager = opened()
    until_us = 40 * MINUTE
    while (due_us := manager.next_deadline_us) is not None:
        for each in manager.advance(due_us):
            if each.cause == "extend":
                assert each.at_us < until_us < each.quarantine.until_us
                until_us = each.quarantine.until_us
    assert until_us == DAY


def test_calm_lost_just_before_the_release_extends_at_once() -> None:
    manager = opened()
    manager.calm("pump_dump", X, 10 * MINUTE, is_calm=True)
    assert manager.advance(40 * MINUTE - SECOND) == ()
    manager.calm("pump_dump", X, 40 * MINUTE - SECOND, is_calm=False)
    (extend,) = manager.advance(40 * MINUTE - SECOND)
    assert (extend.cause, extend.at_us) == ("extend", 40 * MINUTE - SECOND)
    assert extend.quarantine.until_us > 49 * MINUTE


def test_a_repeated_hold_pushes_the_calm_clock_back_and_leaves_the_end() -> None:
    manager = opened()
    manager.calm("pump_dump", X, 30 * MINUTE, is_calm=True)
    assert manager.quarantine(hold(level=Level.CRITICAL, for_us=5 * HOUR), 35 * MINUTE) == ()
    (held,) = manager.active()
    assert (held.hold.level, held.until_us, held.floor_us) == (Level.CRITICAL, 40 * MINUTE, 30 * MINUTE)
    assert [each.at_us for each in manager.advance(50 * MINUTE) if each.cause == "calm"] == [45 * MINUTE]


def test_a_stronger_block_is_told_at_once() -> None:
    manager = opened(block=Block.SHRINK)
    (stronger,) = manager.quarantine(hold(), MINUTE)
    assert (stronger.cause, stronger.previous, stronger.quarantine.block) == ("rule", IsolationState.QUARANTINED, Block.ENTRIES)
    assert manager.quarantine(hold(block=Block.SHRINK), 2 * MINUTE) == ()


def test_an_offence_in_probation_leads_back_with_a_longer_floor() -> None:
    manager = opened()
    manager.calm("pump_dump", X, 0, is_calm=True)
    manager.advance(41 * MINUTE)
    (again,) = manager.quarantine(hold(), 50 * MINUTE)
    assert (again.cause, again.previous, again.quarantine.state) == (
        "reoffence",
        IsolationState.PROBATION,
        IsolationState.QUARANTINED,
    )
    assert (again.quarantine.repetition, again.quarantine.floor_us) == (1, 110 * MINUTE)
    assert again.quarantine.opened_us == 0


def test_repetition_escalates_up_to_the_cap_and_is_forgotten() -> None:
    manager = IsolationManager()
    lengths, at_us = [], 0
    for _ in range(8):
        (opening,) = (each for each in manager.quarantine(hold(release_for_us=None, probation_us=0), at_us) if each.cause == "rule")
        lengths.append((opening.quarantine.floor_us - at_us) // MINUTE)
        at_us += 2 * DAY
    assert lengths == [30, 60, 120, 240, 480, 960, 1440, 1440]
    manager.advance(at_us)
    (opening,) = manager.quarantine(hold(), at_us + 7 * DAY)
    assert opening.quarantine.repetition == 0


def test_two_reasons_give_the_strongest_block_and_the_latest_end() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(rule="thin", block=Block.SHRINK, for_us=9 * HOUR, release_for_us=None), 0)
    manager.quarantine(hold(rule="short", for_us=HOUR, release_for_us=None), 0)
    manager.quarantine(hold(rule="long", for_us=2 * HOUR, release_for_us=None, target=BASE_X), 0)
    assert [each.hold.rule for each in manager.covering(X)] == ["long", "short", "thin"]
    assert manager.state_of(Market.parse("other:X/EUR")) is IsolationState.QUARANTINED
    assert manager.state_of(Y) is IsolationState.NORMAL
    assert manager.holds("long", X)
    assert not manager.holds("long", Y)


def test_a_base_is_calm_when_all_markets_that_offended_are() -> None:
    other = Market.parse("other:X/EUR")
    manager = opened(target=BASE_X)
    manager.quarantine(hold(target=BASE_X, market=other), MINUTE)
    manager.calm("pump_dump", X, 30 * MINUTE, is_calm=True)
    manager.calm("pump_dump", Market.parse("third:X/EUR"), 30 * MINUTE, is_calm=False)
    assert "calm" not in causes(manager.advance(45 * MINUTE))
    manager.calm("pump_dump", other, 45 * MINUTE, is_calm=True)
    assert [each.at_us for each in manager.advance(HOUR) if each.cause == "calm"] == [55 * MINUTE]


def test_a_timed_hold_without_probation_ends_at_its_floor() -> None:
    manager = opened(release_for_us=None, probation_us=0)
    manager.calm("pump_dump", X, 0, is_calm=False)
    (end,) = manager.advance(DAY)
    assert (end.cause, end.at_us, end.quarantine.state) == ("floor", 30 * MINUTE, IsolationState.NORMAL)


def test_absolute_ends_survive_a_restart() -> None:
    manager = opened(release_for_us=None, probation_us=0)
    again = IsolationManager()
    again.restore(manager.active(), 10 * MINUTE)
    assert again.active() == manager.active()
    assert again.next_deadline_us == 30 * MINUTE
    late = IsolationManager()
    late.restore(manager.active(), 3 * HOUR)
    assert late.state_of(X) is IsolationState.QUARANTINED
    assert [(each.cause, each.at_us) for each in late.advance(3 * HOUR)] == [("floor", 30 * MINUTE)]


def test_a_restart_after_the_end_extends_once_at_the_present() -> None:
    late = IsolationManager()
    late.restore(opened().active(), 5 * HOUR)
    (extend,) = late.advance(5 * HOUR)
    assert (extend.cause, extend.at_us) == ("extend", 5 * HOUR)
    assert extend.quarantine.until_us > 5 * HOUR


def test_a_restart_after_the_longest_time_ends_it_at_that_time() -> None:
    late = IsolationManager()
    late.restore(opened().active(), 3 * DAY)
    assert [(each.cause, each.at_us) for each in late.advance(3 * DAY)] == [("max", DAY), ("probation_end", DAY + 30 * MINUTE)]


def test_a_clock_set_back_does_not_lengthen_what_remains() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 10 * DAY)
    again = IsolationManager()
    again.restore(manager.active(), 9 * DAY)
    (held,) = again.active()
    assert held.until_us == 9 * DAY + 40 * MINUTE
    assert held.last_end_us == 10 * DAY


def test_ended_quarantines_of_the_ledger_escalate_the_next_one() -> None:
    manager = opened(release_for_us=None, probation_us=0)
    (end,) = manager.advance(DAY)
    again = IsolationManager()
    again.restore([end.quarantine], DAY)
    (opening,) = again.quarantine(hold(), 2 * DAY)
    assert opening.quarantine.repetition == 1


def test_state_of_another_layout_is_refused() -> None:
    saved = json.loads(json.dumps(opened().save()))
    saved["layout"] = 99
    with pytest.raises(ValueError, match="layout 99"):
        IsolationManager().load(saved)


def test_flapping_calm_keeps_the_heap_of_deadlines_small() -> None:
    manager = opened()
    for at_us in range(30 * MINUTE, 30 * MINUTE + 5_000):
        manager.calm("pump_dump", X, at_us, at_us % 2 == 0)
    assert len(manager._cases._heap) < 100


def test_a_target_that_is_not_held_has_nothing_to_hear() -> None:
    manager = IsolationManager()
    assert manager.calm("pump_dump", ON_X, 0, is_calm=True) == ()
    assert manager.calm("pump_dump", X, 0, is_calm=True) == ()
    assert manager.next_deadline_us is None


def test_order_of_what_ended_does_not_depend_on_when_it_was_forgotten() -> None:
    def saved(*, is_asked_between: bool) -> object:
        manager = IsolationManager()
        first, second = (
            hold(rule=name, for_us=10 * MINUTE, max_us=10 * MINUTE, release_for_us=None, probation_us=0, forget_us=forget_us)
            for name, forget_us in (("a", 10 * MINUTE), ("b", HOUR))
        )
        manager.quarantine(first, 0)
        manager.quarantine(second, 2 * MINUTE)
        manager.quarantine(first, 15 * MINUTE)
        if is_asked_between:
            manager.advance(22 * MINUTE)
        manager.advance(30 * MINUTE)
        return manager.save(30 * MINUTE)

    assert json.dumps(saved(is_asked_between=True)) == json.dumps(saved(is_asked_between=False))


@pytest.mark.parametrize("kind", [TargetKind.BASE, TargetKind.SYMBOL])
@pytest.mark.parametrize("is_longer_first", [True, False])
def test_what_two_spellings_of_an_asset_held_stays_held_after_a_restart_with_the_alias(
    kind: TargetKind, *, is_longer_first: bool
) -> None:
    quote = "/USDT" if kind is TargetKind.SYMBOL else ""
    before = IsolationManager()
    lengths = (2 * HOUR, HOUR) if is_longer_first else (HOUR, 2 * HOUR)
    for name, length_us in zip(("OLDCOIN", "COIN"), lengths, strict=True):
        before.operate(AddQuarantine(Target(kind, f"{name}{quote}"), length_us, "rumours", "ann"), 0)
    for remembered in (before.active(), before.active()[::-1]):
        after = IsolationManager(aliases={"OLDCOIN": "COIN"})
        after.restore(remembered, MINUTE)
        for spelling, length_us in zip(("OLDCOIN", "COIN"), lengths, strict=True):
            held = after.covering(Market("one", f"{spelling}/USDT"))
            assert max(each.until_us for each in held) >= length_us
        assert {each.id for each in after.active()} == {each.id for each in remembered}
        assert [each.previous for each in after.advance(2 * HOUR)] == [IsolationState.QUARANTINED] * 2
        assert after.active() == ()
