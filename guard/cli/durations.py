"""Durations as people write and read them."""

from __future__ import annotations

import click

__all__ = ["duration_option", "parse_duration", "say_duration"]

_UNIT_US = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_DIGITS_MAX = 9
LONGEST_US = 366 * _UNIT_US["d"]


def parse_duration(text: str) -> int:
    """Read ``30m``, ``1h30m`` or ``2d`` as microseconds, > 0 and at most 366 days.

    Units go from large to small, each at most once. Raises ValueError for anything else.

    Examples
    --------
    >>> parse_duration("1h30m")
    5400000000
    """
    total_us, rest = 0, text.strip().lower()
    for unit, unit_us in _UNIT_US.items():
        number, found, after = rest.partition(unit)
        if found:
            if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX):
                break
            total_us += int(number) * unit_us
            rest = after
    if rest or not 0 < total_us <= LONGEST_US:
        raise ValueError(f"a duration is written 30m, 1h30m or 2d (units d, h, m, s; up to 366d); found {text!r}")
    return total_us


def say_duration(duration_us: int) -> str:
    """Return a duration for people, with its two largest units.

    Examples
    --------
    >>> say_duration(5_400_000_000), say_duration(42_900_000), say_duration(300)
    ('1h 30m', '42s', '0s')
    """
    parts, left_us = [], max(0, duration_us)
    for unit, unit_us in _UNIT_US.items():
        number, left_us = divmod(left_us, unit_us)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def duration_option(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Read an option's duration as microseconds (a callback of click)."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
