"""Columns of chance."""

from __future__ import annotations

import numpy as np
import pytest

from guard.runtime.bench.chance import Chance

COUNT = 200_000
FIRST = [0.24875382817286396, 0.12843426336664532, 0.1726000098878534]


def test_columns_have_the_moments_of_their_kind() -> None:
    chance = Chance(3)
    uniform, exponential, normal = chance.uniform(COUNT), chance.exponential(COUNT), chance.normal(COUNT)
    assert 0.0 <= uniform.min() < uniform.max() < 1.0
    assert (uniform.mean(), uniform.var()) == pytest.approx((1 / 2, 1 / 12), abs=0.005)
    assert (exponential.mean(), exponential.var()) == pytest.approx((1.0, 1.0), abs=0.03)
    assert (normal.mean(), normal.var()) == pytest.approx((0.0, 1.0), abs=0.02)


def test_columns_of_one_source_and_of_two_seeds_are_independent() -> None:
    chance = Chance(3)
    first, second, other = chance.uniform(COUNT), chance.uniform(COUNT), Chance(4).uniform(COUNT)
    for one, two in ((first, second), (first, other), (first[:-1], first[1:])):
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.01


def test_places_come_as_often_as_their_weights_say() -> None:
    counts = np.bincount(Chance(5).pick(np.array([3.0, 0.0, 1.0]), COUNT), minlength=3)
    assert counts[1] == 0
    assert counts[0] / counts[2] == pytest.approx(3.0, rel=0.03)


def test_numbers_are_the_same_everywhere() -> None:
    assert Chance(7).uniform(3).tolist() == FIRST
