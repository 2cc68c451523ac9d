"""One run of a fuzzer: every seed as it is, then changed seeds, until the time or the count is over.

Used by the tests with a small count, and by ``make fuzz SECONDS=60``, which judges time as well.
"""

from __future__ import annotations

import math
import sys
import time
import traceback
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from fuzz.mutation import mutated
from fuzz.seeds import words

from guard.dsl.parser import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz.targets import Target

__all__ = ["Campaign", "Failure", "campaign", "cost", "steps"]

_YARDSTICK_S = 0.0016
_AGAIN = 4
_FAILURES_MAX = 20


class Failure(NamedTuple):
    """A text that raised what is not guard's, or that took too long; `where` tells failures of one kind apart."""

    text: str
    what: str
    where: str


class Campaign(NamedTuple):
    """What a run found: how many cases, the failures (one of each kind), and the slowest case that is left."""

    cases: int
    failures: tuple[Failure, ...]
    slowest_s: float
    slowest: str


def campaign(
    target: Target, *, seed: int, cases: int | None = None, seconds: float | None = None, judges_time: bool = False
) -> Campaign:
    """Run a fuzzer.

    Where it judges time, a slow case is a failure; one that seems slow is run again, and what counts is its `cost`: a busy machine
    shall not lie.
    """
    chance = Random(seed)  # noqa: S311 - nothing secret
    ends = time.monotonic() + seconds if seconds is not None else None
    failures: dict[str, Failure] = {}
    count, slowest_s, slowest = 0, 0.0, ""
    for text in _texts(target, chance):
        if (
            (cases is not None and count >= cases)
            or (ends is not None and time.monotonic() >= ends)
            or len(failures) >= _FAILURES_MAX
        ):
            break
        count += 1
        try:
            spent_s = _once(target, text)
            if judges_time and spent_s > max(slowest_s, target.slow_s / 10):
                spent_s = min(spent_s, cost(target, text))
        except Exception as error:  # noqa: BLE001 - this is what a fuzzer is for
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {place.name}:{place.lineno}"
            failures.setdefault(where, Failure(text, f"{type(error).__name__}: {str(error)[:200]}", where))
            continue
        if judges_time and spent_s > target.slow_s:
            failures.setdefault(
                "slow", Failure(text, f"took {1e3 * spent_s:.0f} ms, at most {1e3 * target.slow_s:.0f} allowed", "slow")
            )
        if spent_s > slowest_s:
            slowest_s, slowest = spent_s, text
    return Campaign(count, tuple(failures.values()), slowest_s, slowest)


def cost(target: Target, text: str) -> float:
    """Return the fastest of a few runs of a case, in seconds of this process on a machine of its own.

    A loop that always does the same tells how much slower the machine is at this moment, because others use it.
    """
    fastest = math.inf
    for _ in range(_AGAIN):
        busy = max(1.0, _yardstick() / _YARDSTICK_S)
        parse.cache_clear()
        fastest = min(fastest, _once(target, text) / busy)
    return fastest


def steps(target: Target, text: str) -> int:
    """Return how many calls and returns a case takes, of Python and of C: the same on every machine."""
    count = 0

    def take(_frame: object, _event: str, _argument: object) -> None:
        nonlocal count
        count += 1

    parse.cache_clear()
    before = sys.getprofile()
    sys.setprofile(take)
    try:
        target.run(text)
    finally:
        sys.setprofile(before)
    return count


def _yardstick() -> float:
    began = time.process_time()
    kept = {}
    for number in range(20_000):
        kept[number & 255] = str(number)
    return time.process_time() - began


def _once(target: Target, text: str) -> float:
    began = time.process_time()
    target.run(text)
    return time.process_time() - began


def _texts(target: Target, chance: Random) -> Iterator[str]:
    known = target.seeds()
    yield from known
    kept = list(known)
    while True:
        text = mutated(chance.choice(kept), known, words(), chance, limit=target.limit)
        # Some of what was made is damaged further, so that depth grows without a measure of coverage.
        if chance.random() < 0.02:
            kept[chance.randrange(len(known), len(kept) + 1) if len(kept) > len(known) + 500 else len(kept) :] = [text]
        yield text
