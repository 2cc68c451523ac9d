"""A small picture for an alert: price, volume, and where it happened."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from guard.alerts.display import display
from guard.model.moments import utc

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HEIGHT", "POINTS_MAX", "WIDTH", "price_chart"]

WIDTH, HEIGHT = 800, 450
POINTS_MAX = 20_000
_LEFT, _RIGHT, _TOP, _PRICE_BOTTOM, _VOLUME_TOP, _BOTTOM = 16, 704, 48, 312, 332, 410
_TITLE_MAX = 70
_BACKGROUND, _GRID, _INK, _DIM = (250, 250, 248), (226, 226, 222), (28, 30, 34), (120, 122, 128)
_PRICE, _VOLUME, _MARK, _BAND = (20, 92, 160), (150, 172, 196), (200, 40, 40), (250, 226, 222)
_GRID_LINES = 4


# Beyond it, and below its inverse, differences and sums of floats are 0 or infinite.
_LARGEST = 1e100


class _Point(NamedTuple):
    at_us: int
    price: float
    volume: float


class _Frame(NamedTuple):
    """What time and price the edges of the picture stand for."""

    start_us: int
    end_us: int
    low: float
    high: float
    volume_high: float

    def x(self, at_us: int) -> int:
        """Return the column of a time."""
        share = (at_us - self.start_us) / max(1, self.end_us - self.start_us)
        return round(_LEFT + min(1.0, max(0.0, share)) * (_RIGHT - _LEFT))

    def y(self, price: float) -> int:
        """Return the row of a price."""
        return round(_PRICE_BOTTOM - (price - self.low) / (self.high - self.low) * (_PRICE_BOTTOM - _TOP))


def price_chart(
    title: str,
    *,
    times_us: Sequence[int],
    prices: Sequence[float],
    volumes: Sequence[float],
    marker_us: int | None = None,
    blocked_from_us: int | None = None,
) -> bytes:
    r"""Return a PNG of 800 x 450 pixels.

    Parameters
    ----------
    title
        Made safe and cut to 70 characters.
    times_us, prices, volumes
        Of one length, in order of time; the newest 20,000 are drawn. A point whose price is no number, not above 0 or beyond 1e100
        or 1e-100 is left out; such a volume is taken for 0.
    marker_us
        Where a red line stands: the moment of the finding.
    blocked_from_us
        From where on entries are refused: drawn as a band.

    Raises
    ------
    ValueError
        The sequences differ in length.

    Examples
    --------
    >>> price_chart("sim:X/USDT", times_us=[0, 1], prices=[1.0, 2.0], volumes=[1.0, 1.0])[:4]
    b'\x89PNG'
    """
    if not len(times_us) == len(prices) == len(volumes):
        raise ValueError(f"times, prices and volumes are of one length; found {len(times_us)}, {len(prices)}, {len(volumes)}")
    rows = zip(times_us[-POINTS_MAX:], prices[-POINTS_MAX:], volumes[-POINTS_MAX:], strict=True)
    points = [_Point(at_us, price, _volume(volume)) for at_us, price, volume in rows if 1 / _LARGEST <= price <= _LARGEST]
    image = Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    _write(draw, (_LEFT, 14), _drawable(display(title, limit=_TITLE_MAX)), _INK, 18)
    if points:
        frame = _frame(points)
        _draw_market(draw, points, frame, marker_us=marker_us, blocked_from_us=blocked_from_us)
    else:
        _write(draw, (_LEFT, HEIGHT // 2), "no prices", _DIM, 14)
    with io.BytesIO() as out:
        image.save(out, "PNG", optimize=True)
        return out.getvalue()


def _volume(volume: float) -> float:
    return volume if 0 < volume <= _LARGEST else 0.0


def _frame(points: Sequence[_Point]) -> _Frame:
    low, high = min(point.price for point in points), max(point.price for point in points)
    # A flat line stands in the middle.
    margin = (high - low) * 0.05 or high * 0.001
    columns = _columns(points, points[0].at_us, points[-1].at_us)
    return _Frame(points[0].at_us, points[-1].at_us, low - margin, high + margin, max(columns, default=0.0) or 1.0)


def _columns(points: Sequence[_Point], start_us: int, end_us: int) -> list[float]:
    """Return the volume of each of the bars."""
    bars = (_RIGHT - _LEFT) // 6
    sums = [0.0] * bars
    for point in points:
        sums[min(bars - 1, max(0, (point.at_us - start_us) * bars // max(1, end_us - start_us)))] += point.volume
    return sums


def _draw_market(
    draw: ImageDraw.ImageDraw, points: Sequence[_Point], frame: _Frame, *, marker_us: int | None, blocked_from_us: int | None
) -> None:
    if blocked_from_us is not None and blocked_from_us <= frame.end_us:
        draw.rectangle((frame.x(blocked_from_us), _TOP, _RIGHT, _BOTTOM), fill=_BAND)
    for step in range(_GRID_LINES + 1):
        price = frame.low + (frame.high - frame.low) * step / _GRID_LINES
        y = frame.y(price)
        draw.line((_LEFT, y, _RIGHT, y), fill=_GRID)
        _write(draw, (_RIGHT + 8, y - 7), f"{price:.6g}", _DIM, 12)
    for number, volume in enumerate(_columns(points, frame.start_us, frame.end_us)):
        height = round(volume / frame.volume_high * (_BOTTOM - _VOLUME_TOP))
        if height:
            draw.rectangle((_LEFT + number * 6, _BOTTOM - height, _LEFT + number * 6 + 4, _BOTTOM), fill=_VOLUME)
    line = _polyline(points, frame)
    for before, after in pairwise(line):
        draw.line((*before, *after), fill=_PRICE, width=2)
    if len(line) == 1:
        draw.ellipse((line[0][0] - 2, line[0][1] - 2, line[0][0] + 2, line[0][1] + 2), fill=_PRICE)
    if marker_us is not None:
        x = frame.x(marker_us)
        draw.line((x, _TOP, x, _BOTTOM), fill=_MARK, width=2)
        draw.polygon(((x - 6, _TOP - 8), (x + 6, _TOP - 8), (x, _TOP)), fill=_MARK)
    _write(draw, (_LEFT, _BOTTOM + 12), utc(frame.start_us), _DIM, 12)
    _write(draw, (_RIGHT - 150, _BOTTOM + 12), utc(frame.end_us), _DIM, 12)
    _write(draw, (_RIGHT + 8, _VOLUME_TOP), "volume", _DIM, 12)


def _polyline(points: Sequence[_Point], frame: _Frame) -> list[tuple[int, int]]:
    """Return the line with at most the first, lowest, highest and last point of each column of pixels."""
    columns: dict[int, list[_Point]] = {}
    for point in points:
        columns.setdefault(frame.x(point.at_us), []).append(point)
    line: list[tuple[int, int]] = []
    for x, inside in columns.items():
        ends = (inside[0], min(inside, key=lambda each: each.price), max(inside, key=lambda each: each.price), inside[-1])
        line += dict.fromkeys((x, frame.y(each.price)) for each in ends)
    return line


def _drawable(text: str) -> str:
    """Return a text that the built-in font can draw."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text.replace("\u200b", ""))


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, colour: tuple[int, int, int], size: int) -> None:
    draw.text(at, text, fill=colour, font=ImageFont.load_default(size))
