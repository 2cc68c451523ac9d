"""Where price, spread and depth of a scripted market stand at any time."""

from __future__ import annotations

from bisect import bisect_right
from math import exp, log
from typing import TYPE_CHECKING

from guard.runtime.rehearsal.script import Unplayable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.runtime.rehearsal.noise import Noise
    from guard.runtime.rehearsal.script import Step
    from guard.runtime.rehearsal.values import Change

__all__ = ["Course", "Wander", "change_course", "price_course", "start_price"]

_DEFAULT_PRICE = 100.0
# A move that says where it begins must find the price there: 0.5 % is more than calm trading strays.
_START_TOLERANCE = 0.005
_KNOT_US = 10_000_000


class Course:
    """A value > 0 over time: given at some times, geometric in between, constant outside.

    Examples
    --------
    >>> course = Course(100.0)
    >>> course.move(at_us=10, to=400.0, over_us=10)
    >>> [round(course.value(t)) for t in (0, 10, 15, 20, 30)]
    [100, 100, 200, 400, 400]
    """

    def __init__(self, start: float) -> None:
        self._times = [-(1 << 62)]
        self._logs = [log(start)]

    def move(self, *, at_us: int, to: float, over_us: int) -> None:
        """Let it go from where it stands at `at_us` to `to`. What was planned after `at_us` is forgotten."""
        now = log(self.value(at_us))
        keep = bisect_right(self._times, at_us)
        del self._times[keep:], self._logs[keep:]
        self._times += [at_us, at_us + over_us]
        self._logs += [now, log(to)]

    def value(self, at_us: int) -> float:
        """Return the value at a time; at a jump the one after it."""
        right = bisect_right(self._times, at_us)
        if right == len(self._times):
            return exp(self._logs[-1])
        left, begin = self._logs[right - 1], self._times[right - 1]
        share = (at_us - begin) / (self._times[right] - begin)
        return exp(left + share * (self._logs[right] - left))


class Wander:
    """Calm noise: a ratio that strays around 0 and comes back.

    Parameters
    ----------
    noise
        Its chance.
    width
        Standard deviation, a ratio.
    begin_us, end_us
        Where it is defined; it is 0 elsewhere.
    """

    def __init__(self, noise: Noise, width: float, *, begin_us: int, end_us: int) -> None:
        self._begin_us = begin_us
        value = 0.0
        self._knots: list[float] = []
        for _ in range((end_us - begin_us) // _KNOT_US + 2):
            # Half a minute of memory; the factors keep the deviation at `width`.
            value = 0.7 * value + 0.714 * width * max(-3.0, min(3.0, noise.bell()))
            self._knots.append(value)

    def value(self, at_us: int) -> float:
        """Return the ratio at a time."""
        place = (at_us - self._begin_us) / _KNOT_US
        knot = int(place)
        if place < 0.0 or knot + 1 >= len(self._knots):
            return 0.0
        return self._knots[knot] + (place - knot) * (self._knots[knot + 1] - self._knots[knot])


def start_price(steps: Iterable[Step]) -> float:
    """Return where the first move begins, 100 where it does not say."""
    moves = [step.price for step in sorted(steps, key=lambda step: step.at_us) if step.price is not None]
    return moves[0].start or _DEFAULT_PRICE if moves else _DEFAULT_PRICE


def price_course(start: float, steps: Iterable[tuple[int, Step]]) -> Course:
    """Return the price without noise; `steps` come with their place in the feed. Raises Unplayable."""
    course = Course(start)
    for place, step in sorted(steps, key=lambda item: item[1].at_us):
        move = step.price
        if move is None:
            continue
        now = course.value(step.at_us)
        if move.start is not None and abs(move.start / now - 1.0) > _START_TOLERANCE:
            raise Unplayable(f"the price stands at {now:.6g} then, not at {move.start:g}", "feed", place, "price")
        target = now * (1.0 + move.target) if move.is_relative else move.target
        course.move(at_us=step.at_us, to=target, over_us=move.over_us)
    return course


def change_course(changes: Iterable[tuple[int, Change]]) -> Course:
    """Return a multiple of the usual over time."""
    course = Course(1.0)
    for at_us, change in sorted(changes, key=lambda item: item[0]):
        course.move(at_us=at_us, to=change.factor, over_us=change.over_us)
        if change.for_us is not None:
            course.move(at_us=at_us + change.over_us + change.for_us, to=1.0, over_us=0)
    return course
