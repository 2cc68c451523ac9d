"""The picture of an alert."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from guard.alerts.chart import HEIGHT, POINTS_MAX, WIDTH, price_chart

RED = (200, 40, 40)


def drawn(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def wave(count: int) -> dict[str, list[float]]:
    return {
        "times_us": [1_700_000_000_000_000 + 1_000_000 * n for n in range(count)],
        "prices": [1.0 + 0.2 * ((n // 7) % 5) for n in range(count)],
        "volumes": [float(n % 11) for n in range(count)],
    }  # type: ignore[return-value]


def test_chart_is_a_small_png_of_fixed_size() -> None:
    png = price_chart("sim:X/USDT pump_dump 0.84", **wave(900))  # type: ignore[arg-type]
    assert drawn(png).size == (WIDTH, HEIGHT)
    assert len(png) < 40_000


def test_marker_stands_where_the_finding_was() -> None:
    data = wave(901)
    image = drawn(price_chart("x", **data, marker_us=data["times_us"][450]))  # type: ignore[arg-type]
    columns = {x for x in range(WIDTH) if image.getpixel((x, 400)) == RED}
    assert columns
    assert abs(sum(columns) / len(columns) - 360) < 3


def test_same_input_draws_the_same_bytes() -> None:
    assert price_chart("x", **wave(50)) == price_chart("x", **wave(50))  # type: ignore[arg-type]


def test_more_points_than_allowed_draws_the_newest() -> None:
    data = wave(POINTS_MAX + 500)
    cut = {name: column[500:] for name, column in data.items()}
    assert price_chart("x", **data) == price_chart("x", **cut)  # type: ignore[arg-type]


def test_no_data_is_a_picture_that_says_so() -> None:
    assert drawn(price_chart("x", times_us=[], prices=[], volumes=[])).size == (WIDTH, HEIGHT)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length; found 1, 2, 0"):
        price_chart("x", times_us=[1], prices=[1.0, 2.0], volumes=[])


@settings(max_examples=30, deadline=None)
@given(
    st.text(max_size=80),
    st.lists(st.tuples(st.integers(0, 4_000_000_000_000_000), st.floats(), st.floats()), max_size=20),
    st.none() | st.integers(0, 4_000_000_000_000_000),
)
def test_any_numbers_and_any_title_make_a_picture(title: str, rows: list[tuple[int, float, float]], marker: int | None) -> None:
    ordered = sorted(rows, key=lambda row: row[0])
    columns = list(zip(*ordered, strict=True)) or [(), (), ()]
    png = price_chart(title, times_us=columns[0], prices=columns[1], volumes=columns[2], marker_us=marker, blocked_from_us=marker)
    assert drawn(png).size == (WIDTH, HEIGHT)
