"""The picture of ``guard rules sweep --out``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.cli.plot import Line, Plot, save
from guard.cli.sweep_table import in_sample
from guard.dsl.tokens import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guard.dsl.trials import Parameter
    from guard.runtime.sweep import Measured, Sweep

__all__ = ["LINES_MAX", "draw", "picture"]

LINES_MAX = 8


def draw(path: Path, asked: Sweep, parameters: Sequence[Parameter], measured: Sequence[Measured]) -> None:
    """Write minutes blocked, and what was found, against the parameter with the most values. Raises OSError."""
    save(picture(asked, parameters, measured), path)


def picture(asked: Sweep, parameters: Sequence[Parameter], measured: Sequence[Measured]) -> Plot:
    """Return what is drawn.

    The axis is the parameter with the most values; each combination of the others, 8 at most, has a line for the minutes blocked
    and, where it is known what happened, one for how much of that was found.
    """
    across = max(range(len(parameters)), key=lambda number: len(parameters[number].values))
    groups: dict[tuple[str, ...], dict[str, Measured]] = {}
    for row in measured:
        texts = asked.settings[row.number].texts
        groups.setdefault((*texts[:across], *texts[across + 1 :]), {})[texts[across]] = row
    kept = dict(list(groups.items())[:LINES_MAX])
    labels = tuple(dict.fromkeys(text for rows in kept.values() for text in rows))
    numbers = [quantity(label) for label in labels]
    are_numbers = all(number is not None for number in numbers)
    points = tuple(float(at) if number is None or not are_numbers else number[0] for at, number in enumerate(numbers))
    order = sorted(range(len(labels)), key=points.__getitem__)
    labels, points = tuple(labels[at] for at in order), tuple(points[at] for at in order)
    lines: list[Line] = []
    for others, rows in kept.items():
        beside = " ".join(others)
        name = f" at {beside}" if beside and len(kept) > 1 else ""
        tried = [rows[label].tried if label in rows else None for label in labels]
        lines.append(Line(f"minutes blocked{name}", tuple(None if one is None else one.blocked_minutes for one in tried)))
        if asked.truths and len(kept) == 1:
            lines += [
                Line("found", tuple(None if one is None else one.found_events for one in tried), is_right=True),
                Line("other quarantines", tuple(None if one is None else one.others for one in tried), is_right=True),
            ]
        elif len(kept) == 1:
            lines.append(Line("quarantines", tuple(None if one is None else one.quarantines for one in tried), is_right=True))
    key = parameters[across].key
    in_use = next((setting.texts[across] for setting in asked.settings if setting.is_in_use), None)
    more = f" ({len(kept)} of {len(groups)} lines)" if len(groups) > len(kept) else ""
    return Plot(
        title=f"{asked.rule}: {key.name}{more}",
        below=in_sample(len(measured)),
        axis=key.name,
        points=points,
        labels=labels,
        left="minutes",
        right="count",
        lines=tuple(lines),
        marked=labels.index(in_use) if in_use in labels else None,
    )
