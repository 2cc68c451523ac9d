"""Pictures: every value has its mark, and none lies outside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from guard.cli.plot import Line, Plot, save, svg

if TYPE_CHECKING:
    from pathlib import Path

NAME = "{http://www.w3.org/2000/svg}"


def plot(*values: float | None, points: tuple[float, ...] | None = None, marked: int | None = None, title: str = "t") -> Plot:
    where = points or tuple(float(at) for at in range(len(values)))
    lines = (Line("minutes", values), Line("count", values, is_right=True))
    return Plot(title, "below", "axis", where, tuple(f"{at:g}" for at in where), "left", "right", lines, marked)


def dots(text: str) -> list[tuple[float, float]]:
    rows = ET.fromstring(text).iter(f"{NAME}circle")  # noqa: S314 - written by this very test
    return [(float(row.attrib["cx"]), float(row.attrib["cy"])) for row in rows if row.attrib["r"] == "3"]


def test_higher_values_stand_higher_and_later_points_more_to_the_right() -> None:
    (one, two, three, *_) = dots(svg(plot(1.0, 5.0, 2.0)))
    assert one[0] < two[0] < three[0]
    assert two[1] < three[1] < one[1]


def test_missing_value_has_no_mark() -> None:
    assert len(dots(svg(plot(1.0, None, 2.0)))) == 4


def test_value_in_use_is_marked() -> None:
    assert "in use: 1" in svg(plot(1.0, 2.0, marked=1))
    assert "in use" not in svg(plot(1.0, 2.0))


def test_texts_cannot_break_out_of_the_picture() -> None:
    text = svg(plot(1.0, 2.0, title='</text><script>"&\x1b'))
    ET.fromstring(text)  # noqa: S314 - written by this very test
    assert "<script" not in text
    assert "\x1b" not in text


VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1e12)), min_size=1, max_size=30)


@given(VALUES)
def test_every_mark_lies_in_the_frame(values: list[float | None]) -> None:
    text = svg(plot(*values))
    assert len(dots(text)) == 2 * sum(value is not None for value in values)
    assert all(80 <= x <= 820 and 76 <= y <= 440 for x, y in dots(text))
    assert not re.search(r"nan|inf", re.sub(r"<text.*?</text>", "", text))


@pytest.mark.parametrize("values", [(None,), (0.0,), (3.0, 3.0)])
def test_few_values_are_drawn_in_both_ways(tmp_path: Path, values: tuple[float | None, ...]) -> None:
    save(plot(*values), tmp_path / "x.svg")
    save(plot(*values), tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (900, 520)
