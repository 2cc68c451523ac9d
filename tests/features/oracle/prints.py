"""What the fields of the kept prints mean, read slowly from the last trades."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from features.oracle.answers import Answer, exact, near
from features.oracle.memory import DAY
from features.oracle.streams import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from features.oracle.fields import Moment, Reader

    from guard.features.tables import Leaf

__all__ = ["PRINTS_ORACLES", "neighbours", "prints_reader"]

PRINTS_MAX = 500
SIZE_BUCKETS = 1_021


def _kept(moment: Moment) -> list:
    at_us = moment.market.at_us
    return [item for item in moment.market.prints[-PRINTS_MAX:] if at_us - item.at_us <= DAY]


def neighbours(kept: list) -> list:
    """Return each kept trade with the next one, where none are missing between."""
    return [(a, b) for a, b in pairwise(kept) if not b.is_torn]


def prints_reader(least: int, statistic: Callable[[list], Answer | None]) -> Reader:
    def read(moment: Moment, _leaf: Leaf) -> Answer | None:
        kept = _kept(moment)
        return statistic(kept) if moment.market.trades.since is not None and len(kept) >= least else None

    return read


def _pairs(kept: list) -> Answer | None:
    met = [a.side * b.side < 0 and a.amount == b.amount and b.at_us - a.at_us <= 2 * SECOND for a, b in neighbours(kept)]
    return exact(Fraction(sum(met), len(met)) if met else None)


def _alternation(kept: list) -> Answer | None:
    turns = [a.side * b.side < 0 for a, b in neighbours(kept)]
    return exact(Fraction(sum(turns), len(turns)) if turns else None)


def _path(kept: list) -> Answer | None:
    pairs = neighbours(kept)
    return near(sum((abs(b.price - a.price) / b.price for a, b in pairs), Fraction(0)), distance=1e-9) if pairs else None


def _prints_turnover(kept: list) -> Answer:
    return near(sum((item.price * item.amount for item in kept[1:]), Fraction(0)), share=1e-9, distance=Fraction(1, 10**6))


def _sizes(kept: list) -> list[int]:
    return sorted(Counter(item.amount for item in kept).values(), reverse=True)


def _top_size(kept: list) -> Answer:
    """Sizes share buckets seldom: at most two others are taken for the top one."""
    sizes = _sizes(kept)
    return Answer(Fraction(sizes[0], len(kept)), Fraction(sum(sizes[:3]), len(kept)))


def _entropy(kept: list) -> Answer:
    """Sizes that share a bucket count as one: each such pair costs at most log 2 of what it holds."""
    sizes, count = _sizes(kept), len(kept)
    found = 1 - math.fsum(size * math.log(size) for size in sizes) / (count * math.log(count))
    usual = len(sizes) ** 2 / (2 * SIZE_BUCKETS)
    shared = (usual + 3 * math.sqrt(usual)) * 2 / len(sizes)
    lost = math.log(2) * (sum(sizes[:6]) / count + shared) / math.log(count)
    return Answer(max(0.0, found - lost - 1e-9), min(1.0, found + 1e-9))


PRINTS_ORACLES: dict[str, Reader] = {
    "prints_count": prints_reader(0, lambda kept: exact(len(kept))),
    "prints_pairs": prints_reader(2, _pairs),
    "prints_alternation": prints_reader(2, _alternation),
    "prints_path": prints_reader(2, _path),
    "prints_turnover": prints_reader(2, _prints_turnover),
    "prints_top_size": prints_reader(1, _top_size),
    "prints_entropy": prints_reader(2, _entropy),
}
