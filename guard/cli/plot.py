"""Lines over an axis as a picture: SVG as text, PNG through Pillow, from the same marks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Line", "Plot", "save", "svg"]

_WIDTH, _HEIGHT = 900, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 820, 76, 440
_INK, _DIM, _GRID, _PAPER, _MARK = "#1c1e22", "#787a80", "#e2e2de", "#fafaf8", "#c82828"
_COLOURS: Final = ("#145ca0", "#c87814", "#288c50", "#8c3ca0", "#0f8c96", "#963c3c", "#5a6e14", "#50508c")
_TICKS: Final = 5
_TEXT_MAX: Final = 160


class Line(NamedTuple):
    """Values of one quantity at the points of the axis, None where there is none; `is_right` puts it on the right-hand scale."""

    name: str
    values: tuple[float | None, ...]
    is_right: bool = False


class Plot(NamedTuple):
    """A picture: `points` are the places on the axis, `labels` what stands below them, `marked` the one with a red line."""

    title: str
    below: str
    axis: str
    points: tuple[float, ...]
    labels: tuple[str, ...]
    left: str
    right: str
    lines: tuple[Line, ...]
    marked: int | None = None


class _Mark(NamedTuple):
    """A stroke of the picture: a line through points, a dot, or a text."""

    kind: str
    at: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.0
    text: str = ""
    anchor: str = "start"
    is_dashed: bool = False


def save(plot: Plot, path: Path) -> None:
    """Write a picture, SVG or PNG by the name of the file. Raises OSError."""
    if path.suffix == ".svg":
        path.write_text(svg(plot), encoding="utf-8")
    else:
        _save_png(_marks(plot), path)


def svg(plot: Plot) -> str:
    """Return a picture as SVG."""
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="{_PAPER}"/>',
        '<g font-family="sans-serif">',
        *map(_svg_mark, _marks(plot)),
        "</g></svg>",
    ]
    return "\n".join(rows) + "\n"


def _svg_mark(mark: _Mark) -> str:
    (x, y) = mark.at[0]
    if mark.kind == "text":
        look = f'fill="{mark.colour}" font-size="{mark.width:g}" text-anchor="{mark.anchor}"'
        return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(_safe(mark.text))}</text>'
    if mark.kind == "dot":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{mark.width:g}" fill="{mark.colour}"/>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.at)
    dash = ' stroke-dasharray="5 4"' if mark.is_dashed else ""
    return f'<polyline points="{points}" fill="none" stroke="{mark.colour}" stroke-width="{mark.width:g}"{dash}/>'


def _save_png(marks: Sequence[_Mark], path: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    for mark in marks:
        (x, y) = mark.at[0]
        if mark.kind == "text":
            font = ImageFont.load_default(int(mark.width))
            text = "".join(sign if " " <= sign <= "~" else "?" for sign in _safe(mark.text))
            wide = draw.textlength(text, font=font)
            x -= {"start": 0.0, "middle": wide / 2, "end": wide}[mark.anchor]
            draw.text((x, y - mark.width), text, fill=mark.colour, font=font)
        elif mark.kind == "dot":
            draw.ellipse((x - mark.width, y - mark.width, x + mark.width, y + mark.width), fill=mark.colour)
        else:
            draw.line(mark.at, fill=mark.colour, width=round(mark.width))
    image.save(path, "PNG", optimize=True)


def _safe(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_TEXT_MAX])


def _marks(plot: Plot) -> list[_Mark]:
    return [*_frame(plot), *_lines(plot)]


def _x(plot: Plot, point: float) -> float:
    low, high = min(plot.points), max(plot.points)
    return (_LEFT + _RIGHT) / 2 if high == low else _LEFT + (point - low) / (high - low) * (_RIGHT - _LEFT)


def _top(plot: Plot, *, is_right: bool) -> float:
    """Return a round number that no value of a side exceeds."""
    most = max(
        (value for line in plot.lines if line.is_right is is_right for value in line.values if value is not None), default=0.0
    )
    if most <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(most))
    return next((size * step for step in (1, 2, 2.5, 5, 10) if size * step >= most), most)


def _y(value: float, top: float) -> float:
    return _BOTTOM - value / top * (_BOTTOM - _TOP)


def _frame(plot: Plot) -> list[_Mark]:
    sides = [(False, _LEFT - 8, "end"), (True, _RIGHT + 8, "start")]
    x: float
    used = [side for side in sides if any(line.is_right is side[0] for line in plot.lines)]
    found = [_Mark("text", ((_LEFT, 26),), _INK, 16, plot.title), _Mark("text", ((_LEFT, _HEIGHT - 14),), _DIM, 11, plot.below)]
    for step in range(_TICKS + 1):
        y = _y(step, _TICKS)
        found.append(_Mark("line", ((_LEFT, y), (_RIGHT, y)), _GRID))
        for is_right, x, anchor in used:
            label = f"{_top(plot, is_right=is_right) * step / _TICKS:,.4g}"
            found.append(_Mark("text", ((x, y + 4),), _DIM, 12, label, anchor))
    found += [
        _Mark("text", ((x, _TOP - 12),), _DIM, 12, plot.right if is_right else plot.left, anchor) for is_right, x, anchor in used
    ]
    last = -math.inf
    for point, label in zip(plot.points, plot.labels, strict=True):
        x = _x(plot, point)
        if x - last >= 14 + 7 * len(label):
            found.append(_Mark("text", ((x, _BOTTOM + 20),), _DIM, 12, label, "middle"))
            last = x
    found.append(_Mark("text", (((_LEFT + _RIGHT) / 2, _BOTTOM + 42),), _INK, 12, plot.axis, "middle"))
    if plot.marked is not None:
        x = _x(plot, plot.points[plot.marked])
        found += [
            _Mark("line", ((x, _TOP), (x, _BOTTOM)), _MARK, 1.5, is_dashed=True),
            _Mark("text", ((x + 5, _TOP + 12),), _MARK, 12, f"in use: {plot.labels[plot.marked]}"),
        ]
    return found


def _lines(plot: Plot) -> list[_Mark]:
    found: list[_Mark] = []
    x = float(_LEFT)
    for number, line in enumerate(plot.lines):
        colour, top = _COLOURS[number % len(_COLOURS)], _top(plot, is_right=line.is_right)
        at = [(_x(plot, point), _y(value, top)) for point, value in zip(plot.points, line.values, strict=True) if value is not None]
        if len(at) > 1:
            found.append(_Mark("line", tuple(at), colour, 2.0, is_dashed=line.is_right))
        found += [_Mark("dot", (place,), colour, 3.0) for place in at]
        found += [_Mark("dot", ((x + 4, 44),), colour, 4.0), _Mark("text", ((x + 14, 48),), _INK, 12, line.name)]
        x += 34 + 7 * len(line.name)
    return found
