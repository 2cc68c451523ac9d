"""The state: saved and restored, cut into batches, carried through a change of rules."""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode

import pytest
from features.streams import SECOND, START, Row, feed, opened, read, tapes, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import StateError
from guard.features.fields import FIELDS
from guard.features.kernel import Kernel
from guard.features.tables import Leaf
from guard.model import ASK, BID, BUY, Flag, Kind, Market, MarketFacts


def every_leaf(window_us: int = 60 * SECOND) -> list[Leaf]:
    """One leaf of each field."""
    values = {"w": window_us, "band": 0.002}
    return [
        Leaf(
            field.name,
            tuple(values.get(a.name, int(a.default) if isinstance(a.default, float) else a.default or 0) for a in field.arguments),
        )
        for field in FIELDS
    ]


@st.composite
def sessions(draw: st.DrawFn) -> list[Row]:
    """Trades and book messages by turns."""
    rows: list[Row] = []
    for number, row in enumerate(draw(tapes(size=40))):
        rows.append(row)
        if number % 3 == 0:
            flags = Flag.SNAPSHOT if number % 6 == 0 else Flag.NONE
            levels = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=4))
            rows += [
                Row(Kind.LEVEL, row.at_us, 100.0 - side * step, size / 2, side, 0, flags)
                for step, size in levels
                for side in (BID, ASK)
            ]
            rows[-1] = rows[-1]._replace(flags=flags | Flag.LAST)
    return rows


@settings(max_examples=25, deadline=None)
@given(sessions(), st.data())
def test_restored_state_goes_on_bit_for_bit(rows: list[Row], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    whole, first = opened(every_leaf()), opened(every_leaf())
    due = feed(whole, rows)
    assert feed(first, rows[:cut]) == due[:cut]
    second = Kernel(every_leaf())
    second.restore(json.loads(json.dumps(first.save(), allow_nan=False)))
    assert feed(second, rows[cut:]) == due[cut:]
    assert json.dumps(second.save()) == json.dumps(whole.save())
    at_us = rows[-1].at_us + 3 * SECOND
    assert repr(read(second, at_us)) == repr(read(whole, at_us))


@settings(max_examples=15, deadline=None)
@given(sessions(), st.integers(1, 9))
def test_batches_of_any_size_give_the_same_state(rows: list[Row], size: int) -> None:
    whole, parts = opened(every_leaf()), opened(every_leaf())
    due = feed(whole, rows)
    assert [flag for at in range(0, len(rows), size) for flag in feed(parts, rows[at : at + size])] == due
    assert json.dumps(parts.save()) == json.dumps(whole.save())


def test_adopt_keeps_windows_in_use_and_starts_new_ones_cold() -> None:
    kept, dropped, new = Leaf("volume", (10 * SECOND,)), Leaf("volume", (60 * SECOND,)), Leaf("volume", (5 * SECOND,))
    kernel, untouched = opened([kept, dropped]), opened([kept, dropped])
    rows = [trade(START + second * SECOND, 1.0) for second in range(120)]
    feed(kernel, rows)
    feed(untouched, rows)
    kernel.adopt([new, kept])
    at_us = START + 120 * SECOND
    found = read(kernel, at_us)
    assert list(found) == [str(new), str(kept)]
    assert found[str(kept)] == read(untouched, at_us)[str(kept)]
    feed(kernel, [trade(at_us + second * SECOND, 1.0) for second in range(6)])
    assert read(kernel, at_us + 6 * SECOND)[str(new)] >= 5.0


def test_a_new_window_is_unknown_until_it_is_covered() -> None:
    kernel = opened([Leaf("volume", (10 * SECOND,))])
    feed(kernel, [trade(START + second * SECOND, 1.0) for second in range(700)])
    kernel.adopt([Leaf("volume", (10 * SECOND,)), Leaf("volume", (300 * SECOND,)), Leaf("volume", (12 * SECOND,))])
    at_us = START + 700 * SECOND
    feed(kernel, [trade(at_us, 1.0)])
    found = read(kernel, at_us)
    assert math.isnan(found["volume(300000000)"])
    assert found["volume(10000000)"] == 11.0
    feed(kernel, [trade(at_us + second * SECOND, 1.0) for second in range(1, 301)])
    assert read(kernel, at_us + 300 * SECOND)["volume(300000000)"] == pytest.approx(300, abs=16)


def test_leaves_that_are_not_known_change_nothing() -> None:
    kernel = opened([Leaf("volume", (10 * SECOND,))])
    feed(kernel, [trade(START + second * SECOND, 1.0) for second in range(20)])
    before = json.dumps(kernel.save())
    for wrong, error in ((Leaf("nonsense"), KeyError), (Leaf("volume", (1,)), ValueError)):
        with pytest.raises(error):
            kernel.adopt([wrong])
    assert json.dumps(kernel.save()) == before
    assert read(kernel, START + 19 * SECOND)["volume(10000000)"] == 11.0


def test_restore_adopts_other_leaves_and_refuses_a_damaged_state() -> None:
    kernel = opened([Leaf("price"), Leaf("volume", (10 * SECOND,))])
    feed(kernel, [trade(START, 2.5)])
    other = Kernel([Leaf("price")])
    other.restore(kernel.save())
    assert read(other, START) == {"price()": 2.5}
    state = kernel.save()
    parts = state["markets"][0]["parts"]
    parts["slots"] = b64encode(b64decode(parts["slots"])[:-8]).decode()
    with pytest.raises(StateError, match=r"bytes, .* are expected"):
        other.restore(state)
    with pytest.raises(StateError, match="version 99"):
        other.restore({**kernel.save(), "version": 99})


def test_what_was_known_at_opening_survives() -> None:
    facts = MarketFacts(
        Market("okx", "BTC/USDT:USDT"),
        tick=0.5,
        usd_rate=1.0,
        volume_24h_usd=5e6,
        tags=frozenset({"a"}),
        streams=frozenset({"trades"}),
    )
    kernel = Kernel([Leaf("tick"), Leaf("usd_rate"), Leaf("volume_24h_usd"), Leaf("mid")])
    other = Kernel(kernel.leaves)
    kernel.set_reference(kernel.open(facts), None)
    other.restore(json.loads(json.dumps(kernel.save())))
    assert other.facts(0) == facts
    found = read(other, START)
    assert (found["tick()"], found["usd_rate()"], found["volume_24h_usd()"]) == (0.5, 1.0, 5e6)
    assert math.isnan(found["mid()"])


def test_rush_is_the_same_for_prints_cut_in_other_ways() -> None:
    plain = [trade(START + number // 5 * 300_000, 100.0 + number % 5 + number // 5, 2.0, BUY) for number in range(20)]
    fills = [part for row in plain for part in (row._replace(amount=0.5), row._replace(amount=1.5))]
    split = [row._replace(at_us=row.at_us + number % 5 * 40_000) for number, row in enumerate(plain)]
    seconds = [row._replace(at_us=row.at_us // SECOND * SECOND) for row in plain]
    found = set()
    for rows in (plain, fills, split, seconds):
        kernel = opened([Leaf("rush", (10 * SECOND, "buy"))])
        feed(kernel, [trade(START - 20 * SECOND, 1.0, side=-1), *rows])
        found.add(read(kernel, START + 2 * SECOND)["rush(10000000, buy)"])
    assert found == {16.0}
