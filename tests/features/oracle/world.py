"""The kernel and the oracle side by side, fed with the same events."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from features.oracle.answers import Answer, fits
from features.oracle.fields import Moment
from features.oracle.formulas import allowed, graph_of
from features.oracle.market import Market
from features.oracle.oracles import answer
from features.streams import SECOND, START, feed

from guard.features.kernel import Kernel
from guard.features.tables import Argument, Feature, Field, Leaf, Type
from guard.model import Market as Name
from guard.model import MarketFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from features.streams import Row

__all__ = ["REFERENCE", "Verdict", "World", "variants"]

REFERENCE = 1
LISTED_US = START - 3 * 86_400 * SECOND
STREAMS = frozenset({"trades", "book", "peers"})
WINDOWS = ("1s", "10s", "60s", "30m")
SAMPLES = {Type.RATIO: ("20bp", "5%"), Type.NUMBER: ("100", "1000"), Type.BOOL: ("true",)}


def variants(entry: Field | Feature) -> list[str]:
    """Return an entry as it may be written: every window, every text, every band."""
    return [f"{entry.name}({', '.join(filter(None, words))})" for words in product(*map(_samples, entry.arguments))]


def _samples(argument: Argument) -> tuple[str, ...]:
    if argument.type is Type.TEXT:
        return tuple(f"{argument.name}={choice}" for choice in argument.choices)
    if argument.type is Type.DURATION:
        return tuple(f"{argument.name}={window}" for window in WINDOWS) if argument.default is None else ("",)
    return tuple(f"{argument.name}={sample}" for sample in SAMPLES[argument.type])


class Verdict(NamedTuple):
    """One call at one moment: the kernel's value and what is right."""

    call: str
    found: float
    allowed: Answer | None
    at_us: int

    @property
    def is_right(self) -> bool:
        """Whether the value is one that is allowed."""
        return fits(self.allowed, self.found)

    @property
    def tells(self) -> bool:
        """Whether the value had to be known, and had to be other than 0."""
        span = self.allowed
        return span is not None and span.is_sure and not span.low <= 0 <= span.high


class World:
    """Four markets: the one that is read, the reference, and the symbol on two more exchanges."""

    def __init__(self, calls: Iterable[str], *, tick: float | None = None, usd_rate: float | None = 1.0) -> None:
        self.calls = tuple(calls)
        self.leaves = tuple(dict.fromkeys(leaf for call in self.calls for leaf in graph_of(call)[0].leaves))
        self.kernel = Kernel(self.leaves)
        self.markets: list[Market] = []
        for name in ("sim:X/USDT", "sim:BTC/USDT", "second:X/USDT", "third:X/USDT"):
            facts = MarketFacts(
                Name.parse(name), tick=tick, usd_rate=usd_rate, volume_24h_usd=5e6, listed_us=LISTED_US, streams=STREAMS
            )
            self.kernel.open(facts)
            self.markets.append(Market(facts, self.leaves))
        self.kernel.set_reference(0, REFERENCE)

    def take(self, rows: Sequence[Row]) -> None:
        """Give both the next events."""
        feed(self.kernel, list(rows))
        for row in rows:
            self.markets[row.market].take(row, self.markets[REFERENCE] if row.market == 0 else None)

    def read(self, at_us: int, received_us: int) -> tuple[dict[Leaf, float], dict[Leaf, Answer | None]]:
        """Return what the kernel reads of the first market, and what the oracle allows."""
        out = [0.0] * len(self.leaves)
        self.kernel.read(0, at_us, received_us, out)
        self.markets[0].move(at_us)
        peers = tuple(self.markets[2:])
        moment = Moment(self.markets[0], self.markets[REFERENCE], peers, received_us, self.leaves)
        return dict(zip(self.leaves, out, strict=True)), {leaf: answer(moment, leaf) for leaf in self.leaves}

    def judge(self, at_us: int, received_us: int) -> list[Verdict]:
        """Return for every call what the kernel reads and what the oracle allows."""
        found, answers = self.read(at_us, received_us)
        verdicts = []
        for call in self.calls:
            graph, node = graph_of(call)
            value = graph.evaluate([node], leaves=[found[leaf] for leaf in graph.leaves], facts={})[0]
            verdicts.append(Verdict(call, math.nan if value is None else float(value), allowed(call, answers), at_us))
        return verdicts
