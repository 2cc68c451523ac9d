"""A report as text, as a few lines, and as a document."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any, Final

from guard.features.lacking import lasting
from guard.model.moments import stamp, utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.analysis.report import BotLine, Report, RuleLine, Worth
    from guard.model.aftermath import Aftermath

__all__ = [
    "NOT_KNOWN",
    "after_of",
    "by_rule_text",
    "count_of",
    "details_of",
    "digest_of",
    "document_of",
    "long",
    "percent",
    "text_of",
    "worth_text",
]

NOT_KNOWN: Final = "-"
_HORIZONS: Final = ("15m", "1h", "24h")
_LATEST_SHOWN: Final = 10
_NAME_MAX: Final = 60
_RAN_ALWAYS: Final = 0.99
_RULES_SHOWN: Final = 3


def text_of(report: Report) -> Iterator[str]:
    """Yield the lines of the whole report."""
    yield f"guard, {utc(report.since_us)} to {utc(report.until_us)} ({long((report.until_us - report.since_us) / 1e6)})"
    yield from _rules(report)
    yield from _latest(report.latest)
    yield from _bots(report)
    yield from _feeds(report)


def digest_of(report: Report) -> Iterator[str]:
    """Yield the report in a few lines, for a message."""
    yield f"guard, the last {long((report.until_us - report.since_us) / 1e6)}: {count_of(report)}"
    yield from details_of(report)


def count_of(report: Report) -> str:
    """Return the report in a few words, for a title."""
    blocks, would_be = (sum(getattr(line, name) for line in report.rules) for name in ("blocks", "would_be"))
    held = long(fsum(line.blocked_s for line in report.rules))
    return f"{blocks} blocks, {would_be} would-be blocks, {held} in all"


def details_of(report: Report) -> Iterator[str]:
    """Yield what a message tells besides its title."""
    fees = percent(2.0 * report.fee, signed=False)
    for line in report.rules[:3]:
        hour = line.worth[1]
        counts = f"{line.blocks} + {line.would_be} would-be"
        yield f"{_name(line.rule)}: {counts}; an entry then, an hour later, less {fees} of fees: {worth_text(hour)}"
    if report.noisiest is not None:
        yield f"noisiest rule: {_name(report.noisiest)}"
    if report.bots:
        refused, would = sum(bot.refused for bot in report.bots), sum(bot.would_refuse for bot in report.bots)
        bypassed = sum(bot.bypassed for bot in report.bots)
        yield f"bots: {len(report.bots)}, {refused} orders refused, {would} would be refused, {bypassed} sent past guard"
    if report.feeds:
        worst = min(report.feeds, key=lambda feed: feed.seen)
        share = percent(worst.seen, signed=False)
        yield f"data: there {share} of the time on {_name(worst.exchange)}, the worst of {len(report.feeds)}"
    else:
        yield "data: nothing was watched"
    seconds = (report.until_us - report.since_us) / 1e6
    if report.ran_s is not None and report.ran_s < _RAN_ALWAYS * seconds:
        yield f"ran {long(report.ran_s)} of {long(seconds)}"
    if report.anchor is not None:
        yield f"ledger: {report.anchor}"


def document_of(report: Report) -> dict[str, Any]:
    """Return the report, JSON-able; fractions, not percent."""
    return {
        "since": stamp(report.since_us),
        "until": stamp(report.until_us),
        "fee": report.fee,
        "anchor": report.anchor,
        "rules": [
            {**line._asdict(), "worth": dict(zip(_HORIZONS, map(_worth_record, line.worth), strict=True))} for line in report.rules
        ],
        "bots": [bot._asdict() for bot in report.bots],
        "feeds": [feed._asdict() for feed in report.feeds],
        "latest": [
            {**one._asdict(), "opened_us": stamp(one.opened_us), "after": dict(zip(_HORIZONS, one.prices, strict=True))}
            for one in report.latest
        ],
        "noisiest": report.noisiest,
    }


def percent(fraction: float | None, *, signed: bool = True) -> str:
    """Return a fraction as percent; a dash where it is not known.

    Examples
    --------
    >>> percent(-0.0312), percent(0.5, signed=False), percent(None)
    ('-3.1 %', '50.0 %', '-')
    """
    if fraction is None:
        return NOT_KNOWN
    return f"{100 * fraction:{'+' if signed else ''}.1f} %"


def long(seconds: float) -> str:
    """Return a length of time, two units at most.

    Examples
    --------
    >>> long(604_800), long(5_430)
    ('7 d', '1 h 30 m')
    """
    return lasting(seconds * 1e6)


def by_rule_text(bot: BotLine) -> str:
    """Return which rules refused a bot's orders, and which would have; the three foremost of each.

    Examples
    --------
    >>> from guard.analysis.report import BotLine
    >>> by_rule_text(BotLine("mine", 9, 4, 2, 0, {"pump": 3, "wash": 1}, {"pump": 2}))
    'pump 3, wash 1, would be: pump 2'
    """
    did, would = (
        ", ".join(f"{_name(rule)} {count}" for rule, count in list(counts.items())[:_RULES_SHOWN])
        for counts in (bot.by_rule, bot.would_by_rule)
    )
    return ", ".join(filter(None, (did, would and f"would be: {would}"))) or NOT_KNOWN


def worth_text(worth: Worth) -> str:
    """Return a mean result and of how many blocks it is known; a dash without any."""
    return NOT_KNOWN if worth.mean is None else f"{percent(worth.mean)} ({worth.known})"


def after_of(one: Aftermath, place: int) -> float | None:
    """Return the change of the price after a block at one horizon, as a fraction; None where it is not known."""
    after = one.prices[place]
    return None if not one.price or after is None else after / one.price - 1.0


def _rules(report: Report) -> Iterator[str]:
    yield ""
    if not report.rules:
        yield "Rules: none said anything."
        return
    head: tuple[str, ...] = ("rule", "blocks", "would-be", "targets", "blocked", "shrunk", "level rises", "a market and day")
    yield from _table(head, [_rule_row(line) for line in report.rules])
    if report.noisiest is not None:
        yield f"Noisiest: {_name(report.noisiest)}."
    yield ""
    yield (
        f"What one long entry at each block, or would-be block, would have brought, after {percent(report.fee, signed=False)} for "
        "buying and as much for selling:"
    )
    head = ("rule", *(f"after {horizon}" for horizon in _HORIZONS), "loss avoided in 1h", "gain missed in 1h")
    yield from _table(head, [_worth_row(line) for line in report.rules])
    if any(worth.known for line in report.rules for worth in line.worth):
        yield "Mean of the blocks whose prices are known (their number); sums in percent of one stake."
    else:
        yield "No price after a block is known yet: the first is 15 minutes after it, while guard runs."


def _rule_row(line: RuleLine) -> tuple[str, ...]:
    rate = NOT_KNOWN if line.per_market_day is None else f"{line.per_market_day:.2f}"
    counts = map(str, (line.blocks, line.would_be, line.targets))
    return (_name(line.rule), *counts, long(line.blocked_s), long(line.probation_s), str(line.verdicts), rate)


def _worth_row(line: RuleLine) -> tuple[str, ...]:
    hour = line.worth[1]
    sums = (percent(hour.avoided, signed=False), percent(hour.missed, signed=False)) if hour.known else (NOT_KNOWN, NOT_KNOWN)
    return (_name(line.rule), *map(worth_text, line.worth), *sums)


def _latest(latest: Sequence[Aftermath]) -> Iterator[str]:
    if not latest:
        return
    yield ""
    yield "Newest blocks, and how prices changed since:"
    rows = [
        (
            utc(one.opened_us).removesuffix(" UTC") + "Z",
            _name(one.target),
            _name(one.rule),
            "blocked" if one.bound else "would be",
            *(percent(after_of(one, place)) for place in range(len(_HORIZONS))),
        )
        for one in latest[:_LATEST_SHOWN]
    ]
    yield from _table(("when", "target", "rule", "entries", *_HORIZONS), rows)


def _bots(report: Report) -> Iterator[str]:
    yield ""
    if not report.bots:
        yield "Bots: none reported what it asked."
        return
    head = ("bot", "asked", "refused", "would be refused", "past guard", "by rule")
    rows = [
        (
            _name(bot.bot),
            *map(str, (bot.seen, bot.refused, bot.would_refuse, bot.bypassed)),
            by_rule_text(bot),
        )
        for bot in report.bots
    ]
    yield from _table(head, rows)


def _feeds(report: Report) -> Iterator[str]:
    yield ""
    if not report.feeds:
        yield "Feeds: nothing was watched."
        return
    rows = [
        (_name(feed.exchange), f"{feed.market_hours:.1f}", f"{100 * feed.seen:.2f} %", f"{100 * feed.ready:.2f} %")
        for feed in report.feeds
    ]
    yield from _table(("exchange", "hours of markets", "with data", "judged in full"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _worth_record(worth: Worth) -> dict[str, Any]:
    return worth._asdict()


def _name(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_NAME_MAX])
