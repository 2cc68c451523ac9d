"""What a list changes: pure."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from quarantine.holds import HOUR, MINUTE, ON_X

from guard.model import AddQuarantine, ApplyList, Block, ExtendQuarantine, IsolationState, ListedTarget, Target, TargetKind
from guard.quarantine import (
    IsolationManager,
    is_listed,
    latest_end_us,
    list_changes,
    list_order_from_json,
    list_order_to_json,
    list_rule,
)

TTL_US = 600_000_000
NAMES = st.lists(st.sampled_from("ABCDEFGH"), unique=True, max_size=8)


def entries(names: list[str] | str, block: Block = Block.ENTRIES) -> tuple[ListedTarget, ...]:
    return tuple(ListedTarget(Target(TargetKind.BASE, name), block) for name in names)


def read(manager: IsolationManager, names: list[str] | str, now_us: int, *, keeps_missing: bool = False) -> int:
    """Be one reading of the list, and return how many transitions it made."""
    manager.advance(now_us)
    changes = list_changes(manager.active(), entries(names), now_us=now_us, ttl_us=TTL_US, keeps_missing=keeps_missing)
    command = ApplyList("mine", changes.hold, changes.gone, latest_end_us(now_us, TTL_US), "list mine", list_rule("mine"))
    return len(manager.operate(command, now_us))


def held(manager: IsolationManager) -> set[str]:
    return {each.target.name for each in manager.active()}


def test_a_command_survives_json() -> None:
    command = ApplyList(
        "mine",
        (ListedTarget(Target(TargetKind.MARKET, "x:A/USDT"), Block.SHRINK, 0.1, "why"),),
        (Target(TargetKind.BASE, "B"),),
        7,
        "reason",
        "list:mine",
    )
    assert list_order_from_json(json.loads(json.dumps(list_order_to_json(command)))) == command


def test_an_unchanged_list_makes_no_transition_and_a_removed_entry_no_probation() -> None:
    manager = IsolationManager()
    assert read(manager, "AB", 0) == 2
    assert read(manager, "AB", 1_000_000) == 0
    assert read(manager, "A", 2_000_000) == 1
    assert held(manager) == {"A"}
    assert all(each.state is IsolationState.QUARANTINED for each in manager.active())


def test_a_short_list_read_every_quarter_of_a_minute_for_a_day_moves_each_end_on_four_times() -> None:
    manager = IsolationManager()
    made = [read(manager, "AB", number * 15_000_000) for number in range(4 * 60 * 24)]
    assert [count for count in made if count] == [2] * 4


def test_a_list_and_a_person_hold_the_same_target_and_each_lets_go_of_its_own() -> None:
    manager = IsolationManager()
    target = Target(TargetKind.BASE, "A")
    manager.operate(AddQuarantine(target, 10**9, "news", "ann"), 0)
    changes = list_changes([each for each in manager.active() if is_listed(each)], entries("A"), now_us=1, ttl_us=TTL_US)
    manager.operate(ApplyList("mine", changes.hold, (), TTL_US, "list", "list:mine"), 1)
    manager.operate(ApplyList("mine", (), (target,), TTL_US, "list", "list:mine"), 2)
    assert [each.hold.rule for each in manager.active()] == ["operator"]


def test_a_list_that_asks_for_less_loosens_its_own_block() -> None:
    manager = IsolationManager()
    read(manager, "A", 0)
    changes = list_changes(manager.active(), entries("A", Block.SHRINK), now_us=1, ttl_us=TTL_US)
    manager.operate(ApplyList("mine", changes.hold, changes.gone, 1 + TTL_US, "list", "list:mine"), 1)
    (one,) = manager.active()
    assert one.block is Block.SHRINK


@given(st.lists(st.tuples(NAMES, st.booleans(), st.integers(1, TTL_US * 2)), max_size=12))
def test_held_is_what_was_named_and_its_end_is_never_before_the_time_to_live_is_over_nor_far_behind(
    readings: list[tuple[list[str], bool, int]],
) -> None:
    manager, now_us = IsolationManager(), 0
    named_us: dict[str, int] = {}
    for names, keeps_missing, pause_us in readings:
        read(manager, names, now_us, keeps_missing=keeps_missing)
        named_us |= dict.fromkeys(names, now_us)
        assert set(names) <= held(manager)
        if not keeps_missing:
            assert held(manager) == set(names)
        for each in manager.active():
            named = named_us[each.target.name]
            assert named + TTL_US <= each.until_us <= latest_end_us(named, TTL_US)
            assert each.until_us > now_us
        # A restart in between changes nothing.
        other = IsolationManager()
        other.restore(manager.active(), now_us)
        assert other.active() == manager.active()
        now_us += pause_us
    manager.advance(latest_end_us(now_us, TTL_US))
    assert not manager.active()


def test_what_a_person_extended_outlives_the_list_that_named_it() -> None:
    manager = IsolationManager()
    manager.operate(reading(X_ENTRY, until_us=HOUR), 0)
    manager.operate(ExtendQuarantine(ON_X, None, 10 * HOUR, "we checked", "ann"), MINUTE)
    (held,) = manager.active()
    assert held.until_us == 10 * HOUR + MINUTE
    # It is named with another block, then no more.
    manager.operate(reading(X_ENTRY._replace(block=Block.SHRINK), until_us=2 * HOUR), 30 * MINUTE)
    assert manager.active()[0].until_us == held.until_us
    assert list_changes(manager.active(), (), now_us=40 * MINUTE, ttl_us=HOUR).gone == ()
    assert manager.operate(reading(until_us=2 * HOUR, gone=(ON_X,)), 40 * MINUTE) == ()
    assert [(each.cause, each.at_us) for each in manager.advance(20 * HOUR)] == [("floor", held.until_us)]


def test_a_list_that_asks_for_longer_than_a_person_did_has_its_own_again() -> None:
    manager = IsolationManager()
    manager.operate(reading(X_ENTRY, until_us=HOUR), 0)
    manager.operate(ExtendQuarantine(ON_X, None, 2 * HOUR, "we checked", "ann"), MINUTE)
    manager.operate(reading(X_ENTRY, until_us=5 * HOUR), HOUR)
    assert manager.active()[0].until_us == 5 * HOUR
    (gone,) = manager.operate(reading(until_us=5 * HOUR, gone=(ON_X,)), 2 * HOUR)
    assert (gone.cause, gone.quarantine.state) == ("list", IsolationState.NORMAL)


X_ENTRY = ListedTarget(ON_X, Block.ENTRIES)


def reading(*entries: ListedTarget, until_us: int, gone: tuple[Target, ...] = ()) -> ApplyList:
    return ApplyList("mine", entries, gone, until_us, "list mine", "list:mine")


@given(
    st.permutations(
        [ListedTarget(ON_X, Block.SHRINK, 0.5), ListedTarget(ON_X, Block.ENTRIES), ListedTarget(ON_X, Block.SHRINK, 0.1)]
    )
)
def test_of_several_entries_for_one_target_the_strongest_counts(found: list[ListedTarget]) -> None:
    (wanted,) = list_changes((), found, now_us=0, ttl_us=TTL_US).hold
    assert wanted.block is Block.ENTRIES
    (wanted,) = list_changes((), [each for each in found if each.block is Block.SHRINK], now_us=0, ttl_us=TTL_US).hold
    assert wanted.max_fraction == 0.1
