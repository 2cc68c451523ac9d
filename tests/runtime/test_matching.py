"""Which span of one run is which span of another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.model import Level
from guard.runtime.matching import Match, matched
from guard.runtime.spans import Span

S = 1_000_000


def span(start_s: float, end_s: float | None, *, level: Level = Level.DANGER, rule: str = "r", place: str = "m") -> Span:
    return Span(rule, place, round(start_s * S), None if end_s is None else round(end_s * S), level)


def told(old: list[Span], new: list[Span], *, within_s: int = 60) -> list[str]:
    def word(match: Match) -> str:
        if match.is_same:
            return "same"
        if match.old is None or match.new is None:
            return ("gained" if match.old is None else "lost") + (" part" if match.is_part else "")
        return f"moved {match.start_shift_us / S:g}"

    return [word(match) for match in matched(old, new, within_us=within_s * S)]


def test_episode_that_begins_three_seconds_earlier_is_one_that_moved() -> None:
    (match,) = matched([span(100, 200)], [span(97, 200)], within_us=0)
    assert (match.start_shift_us, match.end_shift_us, match.is_same) == (-3 * S, 0, False)


def test_spans_of_other_rules_or_markets_are_never_the_same() -> None:
    assert told([span(100, 200)], [span(100, 200, rule="q")]) == ["gained", "lost"]
    assert told([span(100, 200)], [span(100, 200, place="n")]) == ["lost", "gained"]


def test_tolerance_decides_about_spans_that_do_not_overlap() -> None:
    assert told([span(100, 110)], [span(150, 160)], within_s=60) == ["moved 50"]
    assert told([span(100, 110)], [span(150, 160)], within_s=49) == ["lost", "gained"]


def test_the_nearest_of_several_is_taken() -> None:
    assert told([span(100, 130)], [span(60, 90), span(101, 130)]) == ["gained", "moved 1"]
    assert told([span(60, 90), span(101, 130)], [span(100, 130)]) == ["lost", "moved -1"]


def test_episode_that_became_two_is_said_to_have_had_a_part_there() -> None:
    assert told([span(100, 1000)], [span(100, 200), span(700, 1000)]) == ["moved 0", "gained part"]
    assert told([span(100, 200), span(700, 1000)], [span(100, 1000)]) == ["moved 0", "lost part"]


def test_end_that_only_one_has_is_no_shift() -> None:
    (match,) = matched([span(100, None)], [span(100, 200)], within_us=0)
    assert match.end_shift_us is None
    (match,) = matched([span(100, None)], [span(100, None)], within_us=0)
    assert match.is_same


def test_other_level_is_a_difference() -> None:
    (match,) = matched([span(100, 200)], [span(100, 200, level=Level.WARNING)], within_us=0)
    assert not match.is_same


SPANS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 80)), max_size=8).map(
    lambda rows: [span(start, start + length) for start, length in sorted(rows)]
)


@given(SPANS, SPANS, st.integers(0, 60))
def test_every_span_is_in_exactly_one_match(old: list[Span], new: list[Span], within_s: int) -> None:
    matches = matched(old, new, within_us=within_s * S)
    assert sorted(match.old for match in matches if match.old is not None) == sorted(old)
    assert sorted(match.new for match in matches if match.new is not None) == sorted(new)
    for match in matches:
        if match.old is not None and match.new is not None and abs(match.start_shift_us) > within_s * S:
            assert match.old.end_us is not None
            assert match.new.end_us is not None
            assert match.old.start_us < match.new.end_us
            assert match.new.start_us < match.old.end_us


@given(SPANS)
def test_a_run_against_itself_has_no_difference(spans: list[Span]) -> None:
    assert all(match.is_same for match in matched(spans, spans, within_us=30 * S))


@pytest.mark.parametrize("count", [3000])
def test_many_spans_are_matches_in_one_pass(count: int) -> None:
    old = [span(20 * number, 20 * number + 10) for number in range(count)]
    new = [span(20 * number + 2, 20 * number + 10) for number in range(count)]
    assert told(old, new) == ["moved 2"] * count
