from hypothesis import given
from hypothesis import strategies as st

from guard.engine.episode import UNKNOWN_AFTER_US, Episode
from guard.engine.stopwatch import Stopwatch
from guard.model import Level

STEPS = st.lists(st.tuples(st.integers(0, 20), st.sampled_from([True, False, None])), max_size=30)


def episode(*, for_us: int = 2, clear_for_us: int = 5) -> Episode:
    return Episode(for_us=for_us, clear_for_us=clear_for_us)


def test_a_level_is_entered_only_after_it_held() -> None:
    e = episode()
    assert not e.update(0, Level.DANGER, clears=False)
    assert e.due_us == 2
    assert not e.update(1, Level.NORMAL, clears=True)
    assert not e.update(2, Level.DANGER, clears=False)
    assert e.update(4, Level.DANGER, clears=False)
    assert (e.level, e.started_us) == (Level.DANGER, 4)


def test_a_higher_level_is_entered_by_its_own_holding_time() -> None:
    e = episode()
    e.update(0, Level.WARNING, clears=False)
    assert e.update(2, Level.CRITICAL, clears=False)
    assert e.level is Level.WARNING
    assert e.update(4, Level.CRITICAL, clears=False)
    assert e.level is Level.CRITICAL
    assert e.started_us == 2


def test_a_level_does_not_sink_before_it_is_clear() -> None:
    e = episode(for_us=0)
    e.update(0, Level.DANGER, clears=False)
    assert not e.update(1, Level.NORMAL, clears=True)
    assert e.level is Level.DANGER
    assert e.due_us == 6
    assert e.update(6, Level.NORMAL, clears=True)
    assert e.level is Level.NORMAL
    assert not e.is_open


def test_a_clear_condition_that_breaks_starts_anew() -> None:
    e = episode(for_us=0)
    e.update(0, Level.DANGER, clears=False)
    for at, clears in ((1, True), (5, False), (6, True), (10, True)):
        assert not e.update(at, Level.NORMAL, clears=clears)
    assert e.update(11, Level.NORMAL, clears=True)


def test_unknown_freezes_level_and_timers_and_is_told_after_half_a_minute() -> None:
    e = episode(for_us=0, clear_for_us=UNKNOWN_AFTER_US)
    e.update(0, Level.DANGER, clears=False)
    e.update(1, Level.NORMAL, clears=True)
    assert not e.update(10, None, clears=None)
    assert not e.is_unknown(9 + UNKNOWN_AFTER_US)
    assert e.is_unknown(10 + UNKNOWN_AFTER_US)
    assert not e.update(5 * UNKNOWN_AFTER_US, Level.NORMAL, clears=True)
    assert e.level is Level.DANGER
    assert e.due_us == 6 * UNKNOWN_AFTER_US - 9


def test_unknown_clear_does_not_keep_a_level_from_rising() -> None:
    e = episode(for_us=0)
    e.update(0, Level.WARNING, clears=None)
    assert e.update(1, Level.CRITICAL, clears=None)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([*Level, None]), st.sampled_from([True, False, None]))))
def test_saving_and_restoring_changes_nothing(steps: list[tuple[int, Level | None, bool | None]]) -> None:
    kept, restored, at = episode(), episode(), 0
    for wait, candidate, clears in steps:
        at += wait
        successor = episode()
        successor.restore(restored.save())
        restored = successor
        assert kept.update(at, candidate, clears=clears) == restored.update(at, candidate, clears=clears)
        assert (kept.level, kept.due_us, kept.save()) == (restored.level, restored.due_us, restored.save())


@given(STEPS)
def test_a_stopwatch_counts_what_was_known_to_hold(steps: list[tuple[int, bool | None]]) -> None:
    watch, at, held, truth = Stopwatch(), 0, 0, False
    for wait, now in steps:
        held = 0 if now is False else held + (wait if truth is True else 0)
        at, truth = at + wait, now
        watch.update(at, truth=now)
        assert watch.elapsed_us == held
        assert watch.has_held(10) == (now is True and held >= 10)


def test_what_nothing_was_told_to_starts_as_what_was_calm() -> None:
    calm, fresh = Episode(for_us=2, clear_for_us=5), Episode(for_us=2, clear_for_us=5)
    assert not calm.update(7, Level.NORMAL, clears=None)
    assert calm.is_idle
    assert calm.save() == fresh.save()
    for at_us, candidate in ((8, Level.DANGER), (9, None), (20, Level.DANGER), (21, Level.DANGER), (22, Level.NORMAL)):
        assert calm.update(at_us, candidate, clears=True) == fresh.update(at_us, candidate, clears=True)
        assert (calm.save(), calm.due_us, calm.is_open) == (fresh.save(), fresh.due_us, fresh.is_open)
    assert calm.level is Level.DANGER
