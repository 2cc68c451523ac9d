"""Every field and every feature against the oracle, on small streams and on a long one."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from features.oracle.fields import ORACLES
from features.oracle.stories import READ, long_story, stories
from features.oracle.world import World, variants
from hypothesis import given, settings

from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS

if TYPE_CHECKING:
    from features.oracle.world import Verdict
    from features.streams import Row

    from guard.features.tables import Feature, Field

ALL: Final = [*FIELDS, *CATALOGUE]
CHECKS_MAX: Final = 60
TOLD_MIN: Final = 3


def named(entry: Field | Feature) -> str:
    return entry.name


def test_every_field_has_an_oracle_and_every_oracle_a_field() -> None:
    assert sorted(ORACLES) == sorted(field.name for field in FIELDS)


def told(world: World, rows: list[Row], checks_max: int) -> list[Verdict]:
    """Feed a story and judge its readings; of more than `checks_max` only some."""
    places = [number for number, row in enumerate(rows) if row.kind == READ]
    kept = set(places[:: max(1, len(places) // checks_max)]) | set(places[-1:])
    found = []
    for number, row in enumerate(rows):
        if row.kind != READ:
            world.take([row])
        elif number in kept:
            found += world.judge(row.at_us, row.at_us + row.lag_us)
    return found


@pytest.mark.parametrize("entry", ALL, ids=named)
@settings(max_examples=10, deadline=None)
@given(rows=stories())
def test_entry_reads_what_the_oracle_allows(entry: Field | Feature, rows: list[Row]) -> None:
    assert [verdict for verdict in told(World(variants(entry)), rows, CHECKS_MAX) if not verdict.is_right] == []


@cache
def day() -> dict[str, list[Verdict]]:
    found = defaultdict(list)
    for verdict in told(World(call for entry in ALL for call in variants(entry)), long_story(), CHECKS_MAX):
        found[verdict.call.partition("(")[0]].append(verdict)
    return found


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_entry_reads_what_the_oracle_allows_over_a_day(entry: Field | Feature) -> None:
    assert [verdict for verdict in day()[entry.name] if not verdict.is_right] == []


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_day_shows_the_entry_known_and_other_than_zero(entry: Field | Feature) -> None:
    assert sum(verdict.tells for verdict in day()[entry.name]) >= TOLD_MIN
