"""When a trouble is told."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guard.runtime.trouble import News, Trouble

S = 1_000_000


def told(*looks: tuple[int, bool]) -> list[tuple[int, str]]:
    trouble = Trouble()
    return [(at_s, news.value) for at_s, is_bad in looks if (news := trouble.look(at_s * S, is_bad=is_bad))]


def test_it_is_told_once_after_two_minutes_and_its_end_after_half_a_minute() -> None:
    looks = [(at_s, at_s < 300) for at_s in range(0, 600, 10)]
    assert told(*looks) == [(120, "begun"), (330, "over")]


def test_a_short_trouble_and_its_end_are_never_told() -> None:
    calm = [(at_s, False) for at_s in range(0, 60, 10)]
    assert told(*calm, *((at_s, at_s < 160) for at_s in range(60, 600, 10))) == [(30, "over")]


def test_a_feed_that_flaps_is_told_of() -> None:
    looks = [(at_s, at_s % 20 < 15) for at_s in range(0, 600, 5)]
    assert told(*looks) == [(120, "begun")]


def test_what_waiting_cannot_mend_is_told_at_once() -> None:
    trouble = Trouble()
    assert trouble.look(0, is_bad=True, at_once=True) is News.BEGUN
    assert trouble.look(S, is_bad=True, at_once=True) is None


@given(st.lists(st.tuples(st.integers(1, 100), st.booleans()), max_size=60))
def test_beginnings_and_ends_alternate(steps: list[tuple[int, bool]]) -> None:
    at_s, looks = 0, []
    for wait_s, is_bad in steps:
        at_s += wait_s
        looks.append((at_s, is_bad))
    words = [word for _, word in told(*looks)]
    assert all(a != b for a, b in pairwise(words))
