"""What is known to have happened on a recording, and what of it was found."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl.problems import Place, Report, Source
from guard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from guard.model import Market
    from guard.runtime.spans import Span

__all__ = ["Found", "Truth", "found", "read_truth"]

_COLUMNS: Final = ("market", "start", "end")
_ROWS_MAX: Final = 100_000


class Truth(NamedTuple):
    """Something that happened from `start_us` to `end_us` on a market: ``binance:AST/BTC``, or a symbol of any exchange."""

    market: str
    start_us: int
    end_us: int

    def is_on(self, market: Market) -> bool:
        """Whether it happened on a market."""
        return self.market in (str(market), market.symbol)


class Found(NamedTuple):
    """What the stays in quarantine of one run found.

    `events` are those that lie on the recording, `found` those during which their market was held, `detections` the quarantines
    that held a market during one, `others` those that did not. `delays_us` has for each event that was found how long after its
    start its market was held, 0 where it was held already.
    """

    events: int
    found: int
    detections: int
    others: int
    delays_us: tuple[int, ...]


def read_truth(path: Path) -> tuple[Truth, ...]:
    """Read a CSV file with the columns market, start and end: times in ISO 8601 (UTC where nothing is said) or in milliseconds.

    Raises ConfigurationError with every row that cannot be used.
    """
    report = Report()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        report.add("E001", Place(Source.of(str(path), "")), why)
        raise ConfigurationError(*report.errors) from error
    source = Source.of(str(path), text)
    rows = csv.reader(text.splitlines())
    heads = [head.strip().lower() for head in next(rows, [])]
    for name in _COLUMNS:
        if name not in heads:
            report.add(
                "E021", Place(source), f"the column {name!r} is missing", "the first line names the columns: market,start,end"
            )
    if report.errors:
        raise ConfigurationError(*report.errors)
    places = [heads.index(name) for name in _COLUMNS]
    truths = []
    for line, cells in enumerate(rows, start=2):
        if any(cell.strip() for cell in cells):
            truths.append(_truth(cells, places, Place(source, line), report))
    if len(truths) > _ROWS_MAX:
        report.add("E010", Place(source), f"more than {_ROWS_MAX:,} rows")
    if not truths:
        report.add("E011", Place(source), "there is no row", "binance:AST/BTC,2018-09-07T15:30Z,2018-09-07T15:35Z")
    if report.errors:
        raise ConfigurationError(*report.errors)
    return tuple(truth for truth in truths if truth is not None)


def _truth(cells: Sequence[str], places: Sequence[int], place: Place, report: Report) -> Truth | None:
    if len(cells) <= max(places):
        report.add("E021", place, f"expected {max(places) + 1} cells, found {len(cells)}")
        return None
    market, start, end = (cells[at].strip() for at in places)
    times = []
    for text in (start, end):
        try:
            times.append(_time_us(text))
        except (ValueError, OverflowError):
            report.add("E025", place, f"{text[:40]!r} is no time", "2018-09-07T15:30Z, or milliseconds since 1970")
            return None
    if not market or "/" not in market:
        report.add("E025", place, f"{market[:40]!r} is no market", "binance:AST/BTC, or AST/BTC")
        return None
    if times[0] >= times[1]:
        report.add("E025", place, "the end is not after the start")
        return None
    return Truth(market, *times)


def _time_us(text: str) -> int:
    if text.isascii() and text.isdecimal():
        return int(text) * 1000
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1e6)


def found(truths: Sequence[Truth], stays: Sequence[Span], markets: Collection[Market], *, from_us: int, to_us: int) -> Found:
    """Hold the stays of one run against what happened on its markets between two times."""
    events = 0
    times: list[int] = []
    hits: set[str] = set()
    for truth in truths:
        there = [market for market in markets if truth.is_on(market)]
        if not there or truth.start_us > to_us or truth.end_us < from_us:
            continue
        events += 1
        names = {name for market in there for name in _names(market)}
        held = [
            number
            for number, stay in enumerate(stays)
            if stay.place in names and stay.start_us < truth.end_us and (stay.end_us is None or stay.end_us > truth.start_us)
        ]
        hits.update(stays[number].quarantine for number in held)
        if held:
            times.append(max(0, min(stays[number].start_us for number in held) - truth.start_us))
    return Found(events, len(times), len(hits), len({stay.quarantine for stay in stays} - hits), tuple(sorted(times)))


def _names(market: Market) -> tuple[str, ...]:
    """Return all targets that hold a market."""
    return str(market), f"symbol:{market.symbol}", f"base:{market.base}", f"exchange:{market.exchange}"
