"""The level of a group against a naive model of it, and what must never raise it."""

from __future__ import annotations

import json
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.engine.groups import Group
from guard.model import Level, Quorum

MEMBERS = 6
QUORUMS = st.one_of(
    st.integers(1, 4).map(Quorum),
    st.sampled_from(["10", "30", "34", "50", "66.7", "100"]).map(lambda text: Quorum(ratio=float(text) / 100)),
)


class Said(NamedTuple):
    """What one member says."""

    row: int
    level: Level
    reached: Level | None
    may_clear: bool = True


class Word(NamedTuple):
    """Whether one member is calm."""

    row: int
    is_calm: bool | None
    is_ready: bool


class Asked(NamedTuple):
    """All are asked anew whether they are calm."""


class Opened(NamedTuple):
    """A market opens."""


class Restored(NamedTuple):
    """State goes through JSON into another group."""


Step = Said | Word | Asked | Opened | Restored
STEPS = st.lists(
    st.one_of(
        st.builds(Said, st.integers(0, MEMBERS - 1), st.sampled_from(Level), st.none() | st.sampled_from(Level), st.booleans()),
        st.builds(Word, st.integers(0, MEMBERS - 1), st.sampled_from([True, False, None]), st.booleans()),
        st.just(Asked()),
        st.just(Opened()),
        st.just(Restored()),
    ),
    max_size=40,
)


class Model:
    """The same by the words of the documentation: everything is counted anew at each step."""

    def __init__(self, quorum: Quorum) -> None:
        self.quorum = quorum
        self.level, self.began_with = Level.NORMAL, 0
        self.stands: dict[int, Level] = {}
        self.said: dict[int, list[Said]] = {}
        self.words: dict[int, list[Word]] = {}
        self.has_held: set[int] = set()

    def asked(self) -> int:
        if self.quorum.ratio is None:
            return self.quorum.least
        return max(2, ceil(Fraction(str(round(self.quorum.ratio, 6))) * len(self.stands)))

    def is_sure(self, row: int, level: Level) -> bool:
        """Whether a member has reached `level` since its rule could not tell last, and has held it all the time."""
        for said in reversed(self.said.get(row, ())):
            if said.reached is None or said.level < level:
                return False
            if said.reached >= level:
                return True
            if not said.may_clear:
                return False
        return False

    def say(self, said: Said) -> None:
        self.stands[said.row] = said.level
        self.has_held |= {said.row} if said.level else set()
        self.said.setdefault(said.row, []).append(said)
        for level in reversed(Level):
            if level > self.level and sum(self.is_sure(row, level) for row in self.stands) >= self.asked():
                self.began_with = self.began_with if self.level else self.asked()
                self.level = level
                return
        if self.level and sum(held >= Level.WARNING for held in self.stands.values()) < min(self.began_with, self.asked()):
            self.level = Level.NORMAL

    def ask(self) -> None:
        self.words.clear()
        self.has_held = {row for row, level in self.stands.items() if level}

    def words_possible(self, row: int) -> set[bool]:
        """Return what a member may be, for all that is known: calm, not calm, or either."""
        words = self.words.get(row, [])
        if not words or not words[-1].is_ready:
            return {True, False}
        if words[-1].is_calm is not None:
            return {words[-1].is_calm}
        was_loud = any(word.is_calm is False for word in words)
        return {True, False} if was_loud or row in self.has_held else {True}

    def calm(self) -> bool | None:
        needed = min(self.began_with, self.asked()) if self.level else self.asked()
        possible = [self.words_possible(row) for row in self.stands]
        surely_loud = sum(words == {False} for words in possible)
        maybe_loud = sum(False in words for words in possible)
        if surely_loud >= needed:
            return False
        return True if maybe_loud < needed <= len(self.stands) else None


def level_after(group: Group, said: Said, at_us: int) -> Level:
    before = group.level
    told = group.update(said.row, at_us, said.level, said.reached, may_clear=said.may_clear)
    assert (told is not None) is (group.level is not before)
    assert told in {None, before}
    return group.level


@settings(max_examples=400)
@given(QUORUMS, st.integers(1, MEMBERS), STEPS)
def test_a_group_stands_as_the_model_does(quorum: Quorum, opened: int, steps: list[Step]) -> None:
    group, model = Group(quorum), Model(quorum)
    for row in range(opened):
        group.join(row)
        model.stands[row] = Level.NORMAL
    for at_us, step in enumerate(steps):
        match step:
            case Said() if step.row < opened:
                model.say(step)
                assert level_after(group, step, at_us) is model.level
            case Word() if step.row < opened:
                group.hear(step.row, is_calm=step.is_calm, is_ready=step.is_ready)
                model.words.setdefault(step.row, []).append(step)
            case Asked():
                group.forget_words()
                model.ask()
            case Opened() if opened < MEMBERS:
                group.join(opened)
                model.stands[opened] = Level.NORMAL
                opened += 1
            case Restored():
                state = json.loads(json.dumps(group.save()))
                group = Group(quorum)
                for row in range(opened):
                    group.join(row)
                group.restore(state)
        assert group.level is model.level
        assert group.calm(at_us) is model.calm()
        assert group.held(Level.WARNING) == len(group.holders(Level.WARNING))
        assert group.holders(Level.DANGER) == sorted(row for row, held in model.stands.items() if held >= Level.DANGER)


def put(group: Group, said: Said, at_us: int) -> None:
    group.update(said.row, at_us, said.level, said.reached, may_clear=said.may_clear)


@settings(max_examples=400)
@given(QUORUMS, STEPS, st.sets(st.integers(0, MEMBERS - 1)), st.integers(0, 40), st.integers(0, 40))
def test_information_that_goes_never_raises_a_group(
    quorum: Quorum, steps: list[Step], gone: set[int], since: int, until: int
) -> None:
    whole, less = group_of(quorum, MEMBERS), group_of(quorum, MEMBERS)
    frozen: dict[int, Level] = {}
    for at_us, step in enumerate(step for step in steps if isinstance(step, Said)):
        # A level is one that was reached before; it cannot be reached and not be held.
        said = step if step.reached is None else step._replace(reached=min(step.reached, step.level))
        put(whole, said, at_us)
        before = less.level
        if said.row in gone and since <= at_us < until:
            # What it held stands still.
            said = Said(said.row, frozen.setdefault(said.row, Level.NORMAL), None)
        elif said.row in gone and at_us >= until and said.reached is not None and frozen.get(said.row, Level.NORMAL) > said.level:
            # It was not seen to clear, and takes its time for it.
            said = said._replace(level=frozen[said.row])
        frozen[said.row] = said.level
        put(less, said, at_us)
        if less.level > before:
            assert less.level <= whole.level


@settings(max_examples=200)
@given(QUORUMS, STEPS, st.data())
def test_members_that_hold_less_or_cannot_tell_never_give_a_higher_level(
    quorum: Quorum, steps: list[Step], data: st.DataObject
) -> None:
    whole, less = group_of(quorum, MEMBERS), group_of(quorum, MEMBERS)
    for at_us, step in enumerate(step for step in steps if isinstance(step, Said)):
        put(whole, step, at_us)
        reached = None if step.reached is None or data.draw(st.booleans()) else Level(data.draw(st.integers(0, step.reached)))
        level, may_clear = Level(data.draw(st.integers(0, step.level))), step.may_clear and data.draw(st.booleans())
        put(less, Said(step.row, level, reached, may_clear), at_us)
        assert less.level <= whole.level


def group_of(quorum: Quorum, members: int) -> Group:
    group = Group(quorum)
    for row in range(members):
        group.join(row)
    return group


def test_a_member_that_cannot_tell_keeps_the_level_and_does_not_raise_it() -> None:
    group = group_of(Quorum(2), 3)
    group.update(0, 1, Level.DANGER, None)
    assert group.update(1, 2, Level.DANGER, Level.DANGER) is None
    assert group.update(0, 3, Level.DANGER, Level.DANGER) is Level.NORMAL
    assert group.update(0, 4, Level.DANGER, None) is None
    assert group.level is Level.DANGER
    assert group.update(0, 5, Level.NORMAL, Level.NORMAL) is Level.DANGER
    assert group.level is Level.NORMAL


def test_a_member_that_may_never_be_found_clear_raises_no_further_than_it_reaches_now() -> None:
    group = group_of(Quorum(2), 3)
    group.update(0, 1, Level.DANGER, Level.DANGER)
    group.update(0, 2, Level.DANGER, Level.WARNING, may_clear=False)
    assert group.update(1, 3, Level.DANGER, Level.DANGER) is Level.NORMAL
    assert group.level is Level.WARNING
    group.update(0, 4, Level.DANGER, Level.DANGER, may_clear=False)
    assert group.level is Level.DANGER


def test_a_market_that_opens_neither_ends_an_episode_nor_makes_the_next_one_cheaper() -> None:
    group = group_of(Quorum(ratio=0.5), 4)
    for row in (0, 1):
        group.update(row, row, Level.DANGER, Level.DANGER)
    assert group.level is Level.DANGER
    for row in range(4, 10):
        group.join(row)
    assert group.update(2, 9, Level.WARNING, Level.WARNING) is None
    group.update(0, 10, Level.NORMAL, Level.NORMAL)
    assert group.level is Level.DANGER
    group.update(1, 11, Level.NORMAL, Level.NORMAL)
    assert group.level is Level.NORMAL
    assert group.needed == 5


@pytest.mark.parametrize(("members", "needed"), [(1, 2), (2, 2), (3, 2), (10, 3), (11, 4)])
def test_a_share_asks_for_two_markets_at_least(members: int, needed: int) -> None:
    assert Quorum(ratio=0.3).needed(members) == needed


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_share_is_exact_where_floats_are_not(percent: int) -> None:
    for members in (3, 7, 10, 50, 100, 400, 20_000):
        assert Quorum(ratio=percent / 100).needed(members) == max(2, -(-percent * members // 100))


def test_a_group_comes_back_after_a_restart_and_waits_for_its_markets() -> None:
    before = group_of(Quorum(2), 3)
    for row in (0, 1):
        before.update(row, 5, Level.DANGER, Level.DANGER)
    state = json.loads(json.dumps(before.saved_level()))
    group = group_of(Quorum(2), 1)
    group.resume(state, 100)
    group.resume_member(0, Level.DANGER)
    assert group.update(0, 101, Level.NORMAL, Level.NORMAL) is None
    assert (group.level, group.started_us) == (Level.DANGER, 5)
    assert group.calm(101) is None
    group.join(1)
    group.join(2)
    assert group.update(0, 102, Level.NORMAL, Level.NORMAL) is Level.DANGER
    assert group.level is Level.NORMAL


def test_a_market_that_never_comes_back_does_not_keep_a_group_for_ever_nor_hide_its_next_episode() -> None:
    state = {"level": int(Level.DANGER), "started_us": 5, "entered": 1, "of": 2}
    late_us = 700_000_000
    quiet, again = group_of(Quorum(1), 1), group_of(Quorum(1), 1)
    for group in (quiet, again):
        group.resume(state, 100)
    assert quiet.update(0, late_us, Level.NORMAL, Level.NORMAL) is Level.DANGER
    assert quiet.level is Level.NORMAL
    assert again.update(0, late_us, Level.DANGER, Level.DANGER) is Level.NORMAL
    assert (again.level, again.started_us) == (Level.DANGER, late_us)
