"""Rules that turn unknown and known again while they are at no level: noted in their signatures, and no stop of the loop."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from dsl.judging import judged, natively
from dsl.small import facts, program, row

from guard.dsl.signature import FREE, TURNED, freed, signature, unknown_since

if TYPE_CHECKING:
    from collections.abc import Callable

TWO = """rules:
  a: {level: danger, when: ret(1s) > 1%}
  b: {level: danger, when: ret(2s) > 1%}
"""
MADE = program(TWO)
BINDING = MADE.bind(facts())
NOW = 1_800_000_000_000_000
QUIET, UNKNOWN, FIRES = 0.0, float("nan"), 0.02
WAYS: list[Callable[..., int]] = [judged]
if find_spec("numba") is not None:
    WAYS += [partial(judged, jitted=True), natively]


def judge(way: Callable[..., int], signed: list[int], first: float, second: float, *, now: int = NOW) -> tuple[int, list[int]]:
    left: list[int] = []
    answer = way(MADE, BINDING, row(MADE, ret_1s=first, ret_2s=second), signed, now=now, left=left)
    return answer, left


@pytest.mark.parametrize("way", WAYS)
def test_free_signature_turns_unknown_and_back_and_keeps_since_when(way: Callable[..., int]) -> None:
    calm = [freed(0, None), freed(0, None)]
    assert judge(way, calm, QUIET, QUIET) == (0, calm)
    answer, lost = judge(way, calm, UNKNOWN, QUIET)
    assert (answer, lost[1], lost[0] & TURNED, unknown_since(lost[0])) == (0, calm[1], TURNED, NOW)
    assert judge(way, lost, UNKNOWN, QUIET, now=NOW + 5) == (0, lost), "it stays unknown since then"
    answer, back = judge(way, lost, QUIET, QUIET, now=NOW + 9)
    assert (answer, back[0], unknown_since(back[0])) == (0, freed(0, None) | TURNED, None)


@pytest.mark.parametrize("way", WAYS)
def test_other_signatures_stop_the_loop_and_stay(way: Callable[..., int]) -> None:
    for signed in ([0, freed(0, None)], [2, freed(0, None)], [FREE | 1, freed(0, None)], [-1, freed(0, None)]):
        assert judge(way, signed, UNKNOWN, QUIET) == (1, signed)
    for first in (freed(0, None), freed(4, NOW)):
        assert judge(way, [first, freed(0, None)], FIRES, QUIET) == (1, [first, freed(0, None)])


@pytest.mark.parametrize("way", WAYS)
def test_what_a_held_market_says_of_its_release_is_kept_and_still_asked(way: Callable[..., int]) -> None:
    told = [signature(0, None, releases, is_open=False, is_held=True) for releases in (False, True)]
    calm = {judge(way, [freed(each, None), freed(each, None)], QUIET, QUIET)[0]: each for each in told}
    assert set(calm) == {0, 1}, "one of the two is what the rules say"
    answer, left = judge(way, [freed(calm[0], None), freed(calm[1], None)], UNKNOWN, QUIET)
    assert (answer, left[0] & 3, left[0] & 4) == (1, 0, 4)


@pytest.mark.parametrize("way", WAYS)
def test_time_and_parts_of_a_signature_do_not_mix(way: Callable[..., int]) -> None:
    for now in (1, 511, 2**50, 2**53):
        _, left = judge(way, [freed(96, None), 0], UNKNOWN, QUIET, now=now)
        assert (unknown_since(left[0]), left[0] & 127) == (now, 100)
