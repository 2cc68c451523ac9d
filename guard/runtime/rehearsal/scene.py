"""From a test to rows on virtual time: scripted markets, or a recording."""

from __future__ import annotations

from importlib.metadata import entry_points
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.errors import ConfigurationError
from guard.model import Channel, Flag, Kind, Market, MarketFacts, Status
from guard.runtime.rehearsal.market import Row, ScriptedMarket
from guard.runtime.rehearsal.script import Unplayable
from guard.runtime.rehearsal.values import is_absolute

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from guard.runtime.rehearsal.script import Case, MarketSpec, Step

__all__ = ["EVENTS_MAX", "Scene", "recorded", "scripted"]

# A Monday noon; rules that look at the calendar find an ordinary day.
_BEGIN_US: Final = 1_767_614_400_000_000
_SECOND_US: Final = 1_000_000
_MARGIN_US: Final = 5 * _SECOND_US
_LENGTH_MIN_US: Final = 60 * _SECOND_US
EVENTS_MAX: Final = 2_000_000


class Scene(NamedTuple):
    """What a test plays: markets with their facts, and rows in order of time.

    `begin_us` is the moment (microseconds since 1970) from which rows and expectations count; `end_us` counts from it. A row
    comes with the place of its market in `markets`. `references` maps an exchange to the symbol that leads it.
    """

    markets: tuple[MarketFacts, ...]
    rows: list[tuple[int, Row]]
    begin_us: int
    end_us: int
    references: Mapping[str, str]

    def since_begin(self, when_us: int) -> int:
        """Return a moment of a test file as a time since the beginning."""
        return when_us - self.begin_us if is_absolute(when_us) else when_us


def scripted(case: Case) -> Scene:
    """Return the scene of a script. Raises Unplayable."""
    specs = {case.market: case.facts, **case.markets}
    end_us = case.length_us or max(_LENGTH_MIN_US, _last_us(case) + _MARGIN_US)
    live_us = case.warm.live_us
    found: list[tuple[int, Row]] = []
    for number, (name, spec) in enumerate(specs.items()):
        _bounded(spec, case.feed, live_us + end_us)
        market = ScriptedMarket(
            spec,
            [(place, step) for place, step in enumerate(case.feed) if _is_on(step, name, case.market)],
            name=name,
            seed=case.seed,
            begin_us=-live_us,
            end_us=end_us,
            history_us=case.warm.history_us,
        )
        found += [(number, row) for row in market.rows()]
    # History comes first: it arrives as a whole, before the market is live.
    found.sort(key=lambda item: (not item[1].flags & Flag.BACKFILL, item[1].at_us))
    facts = tuple(_facts(name, spec) for name, spec in specs.items())
    leader = Market.parse(case.reference) if case.reference else None
    return Scene(facts, found, _BEGIN_US, end_us, {leader.exchange: leader.symbol} if leader else {})


def _bounded(spec: MarketSpec, steps: Iterable[Step], lasts_us: int) -> None:
    events = spec.trades * lasts_us / _SECOND_US
    events += sum((step.trades or 0.0) * step.sweep * step.lasts_us / _SECOND_US for step in steps)
    if events > EVENTS_MAX:
        raise Unplayable(f"about {events:,.0f} trades; a test has at most {EVENTS_MAX:,}", "feed")


def _last_us(case: Case) -> int:
    moments = [moment for e in case.expect for moment in (e.at, e.by, e.after) if moment is not None and not is_absolute(moment)]
    return max([0, *moments, *(step.end_us for step in case.feed)])


def _is_on(step: Step, name: str, default: str) -> bool:
    return "*" in step.market or name in (step.market or (default,))


def _facts(name: str, spec: MarketSpec) -> MarketFacts:
    return MarketFacts(
        Market.parse(name),
        market_class=spec.market_class,
        tick=spec.tick,
        usd_rate=spec.usd_rate,
        volume_24h_usd=spec.volume_24h_usd,
        listed_us=None if spec.age_us is None else _BEGIN_US - spec.age_us,
        tags=frozenset(spec.tags),
        streams=frozenset(spec.streams),
        listing_risk=spec.listing_risk,
    )


def recorded(case: Case, folder: Path) -> Scene:
    """Return the scene of recorded trades; `folder` is where its path starts from. Raises Unplayable."""
    recording = case.recording
    assert recording is not None
    path = folder / recording.path
    if not path.is_file():
        raise Unplayable(f"there is no recording {path}", "recording")
    try:
        found = list(islice(_tape(path, recording.exchange), EVENTS_MAX + 1))
    except ConfigurationError as error:
        raise Unplayable(f"cannot be played: {error.problems[0].message}", "recording") from error
    if not found or len(found) > EVENTS_MAX:
        problem = f"more than {EVENTS_MAX:,} trades; cut it" if found else "no trades"
        raise Unplayable(f"the recording {path} has {problem}", "recording")
    first_us = found[0].at_us
    begin_us, end_us = (_moment(first_us, when) for when in (recording.begin_us, recording.end_us))
    return _scene_of(case, found, first_us if begin_us is None else begin_us, found[-1].at_us if end_us is None else end_us)


def _moment(first_us: int, when_us: int | None) -> int | None:
    return when_us if when_us is None or is_absolute(when_us) else first_us + when_us


def _tape(path: Path, exchange: str) -> Iterator[Any]:
    """Yield the trades of a tape; guard imports no connector, so they are of the tape's own type."""
    (point,) = entry_points(group="guard.connectors", name="tape")
    yield from point.load()([path], exchange=exchange)


def _scene_of(case: Case, trades: Iterable[Any], begin_us: int, end_us: int) -> Scene:
    markets: dict[Market, int] = {}
    rows: list[tuple[int, Row]] = []
    for trade in trades:
        at_us = trade.at_us - begin_us
        if trade.at_us > end_us:
            break
        if trade.market not in markets:
            markets[trade.market] = len(markets)
            rows.append((markets[trade.market], Row(at_us, Kind.STATUS, side=Channel.TRADES, key=Status.LIVE)))
        flags = Flag.NONE if trade.side else Flag.INFERRED_SIDE
        rows.append((markets[trade.market], Row(at_us, Kind.TRADE, trade.price, trade.amount, trade.side, 0, flags)))
    if not rows or end_us < begin_us:
        raise Unplayable("no trades are left between from: and to:", "recording")
    if Market.parse(case.market) not in markets:
        raise Unplayable(f"the recording has {', '.join(map(str, markets))}, not {case.market}", "market")
    said = case.facts.model_fields_set
    facts = tuple(
        _facts(str(market), case.facts)._replace(
            streams=frozenset({"trades"}),
            volume_24h_usd=case.facts.volume_24h_usd if "volume_24h_usd" in said else None,
            usd_rate=case.facts.usd_rate if "usd_rate" in said else None,
            listed_us=None,
        )
        for market in markets
    )
    return Scene(facts, rows, begin_us, end_us - begin_us, {})
