"""Every field and every feature against the oracle, on small streams and on a long one."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from features.oracle.formulas import graph_of
from features.oracle.oracles import ORACLES
from features.oracle.stories import READ, long_story, stories
from features.oracle.world import World, variants
from features.streams import SECOND, Row
from hypothesis import given, settings

from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS, FIELDS_BY_NAME
from guard.model import BUY, SELL, Kind

if TYPE_CHECKING:
    from features.oracle.world import Verdict

    from guard.features.tables import Feature, Field

ALL: Final = [*FIELDS, *CATALOGUE]
CHECKS_MAX: Final = 60
TOLD_MIN: Final = 3
PUMPS: Final = Path(__file__).parents[2] / "../shared/data/pump_trades"


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


def recorded(tape: str) -> list[Row]:
    """Return the trades of a recorded pump: 1,500 before the announced minute, 600 from it on."""
    path = PUMPS / f"{tape}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        told_rows = list(csv.DictReader(file))
    rows = []
    for row in told_rows:
        side = BUY if row["side"] == "buy" else SELL
        rows.append(Row(Kind.TRADE, int(row["timestamp"]) * 1_000, float(row["price"]), float(row["amount"]), side))
    started = datetime.strptime(f"{tape.partition('_')[2]} +0000", "%Y-%m-%d_%H.%M %z").timestamp()
    first = next(number for number, row in enumerate(rows) if row.at_us >= started * SECOND)
    return rows[first - 1_500 : first + 600]


def needs_a_book(call: str) -> bool:
    return any(FIELDS_BY_NAME[leaf.field].stream in ("book", "peers") for leaf in graph_of(call)[0].leaves)


@pytest.mark.parametrize("tape", ["BRD_2018-12-22_17.00", "ICN_2018-09-11_15.30"])
def test_recorded_trades_of_a_pump_read_what_the_oracle_allows(tape: str) -> None:
    rows = recorded(tape)
    world = World([call for entry in ALL for call in variants(entry) if not needs_a_book(call)], usd_rate=4_000.0)
    wrong = []
    for number, row in enumerate(rows):
        world.take([row])
        if number % 300 == 299 or 1_500 <= number < 1_508:
            wrong += [verdict for verdict in world.judge(row.at_us + 7, row.at_us + 1_000) if not verdict.is_right]
    assert wrong == []
