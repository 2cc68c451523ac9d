"""What guard did over a while, and what it was worth: blocks, prices after them, orders of bots, feeds."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import fsum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.model.aftermath import HORIZONS_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.model.aftermath import Aftermath

__all__ = ["RAN", "BotLine", "FeedLine", "Inputs", "Report", "RuleLine", "Worth", "report_of"]

RAN: Final = ("guard_seconds", "guard")
"""The sum of the time that guard ran."""
_LATEST_MAX: Final = 20
_DAY_S: Final = 86_400.0


class Inputs(NamedTuple):
    """What a report is made of.

    `transitions` are the ledger's documents of changed quarantines from `since_us` to `until_us`, oldest first; `verdicts` those of
    level changes; `standing` the quarantines that the ledger has as active now; `sums` map (what, name) to an amount.
    """

    since_us: int
    until_us: int
    transitions: Sequence[Mapping[str, Any]]
    verdicts: Sequence[Mapping[str, Any]]
    standing: Sequence[Mapping[str, Any]]
    aftermaths: Sequence[Aftermath]
    sums: Mapping[tuple[str, str], float]


class Worth(NamedTuple):
    """What entries refused at the moment of each block would have brought after one of `HORIZONS_US`.

    `known` blocks have both prices. A result is the price's change less the fee of buying and selling, as a fraction of the stake,
    of one long entry of the same size a block; `mean` is their mean, None without any. `avoided` sums the losses among them as a
    positive number, `missed` the gains.
    """

    known: int
    mean: float | None
    avoided: float
    missed: float


class RuleLine(NamedTuple):
    """What one rule did.

    `blocks` bound bots, `would_be` did not. `blocked_s` is the time entries were refused, `probation_s` shrunk, over all targets.
    `verdicts` counts level changes upward, `per_market_day` those for each day of a watched market; None before a whole day of one.
    `worth` has an entry for each of `HORIZONS_US`.
    """

    rule: str
    blocks: int
    would_be: int
    targets: int
    blocked_s: float
    probation_s: float
    verdicts: int
    per_market_day: float | None
    worth: tuple[Worth, ...]


class BotLine(NamedTuple):
    """What one bot asked and was told: counts of checks or orders, as its adapter reports them.

    `by_rule` are its refusals by rule, `would_by_rule` those that would have been.
    """

    bot: str
    seen: int
    refused: int
    would_refuse: int
    bypassed: int
    by_rule: Mapping[str, int]
    would_by_rule: Mapping[str, int]


class FeedLine(NamedTuple):
    """How well an exchange was seen: hours of watched markets, and the shares of them with data and with markets judged in full.

    The rest of `seen` is time in which streams were lost or the exchange was in maintenance; what is seen and not `ready` warms up.
    """

    exchange: str
    market_hours: float
    seen: float
    ready: float


class Report(NamedTuple):
    """The whole report; `fee` is the fraction of the stake that one order costs. `latest` are the newest blocks, newest first.

    `noisiest` is the rule with the most level changes, None where there is none. `followed_since_us` is when prices began to be
    kept, None where they never were. `anchor` is number and hash of the ledger's last row: kept elsewhere, it proves later that
    nothing before was changed or cut. `ran_s` is how long guard ran in that time, None where nothing tells.
    """

    since_us: int
    until_us: int
    fee: float
    rules: tuple[RuleLine, ...]
    bots: tuple[BotLine, ...]
    feeds: tuple[FeedLine, ...]
    latest: tuple[Aftermath, ...]
    noisiest: str | None
    anchor: str | None = None
    ran_s: float | None = None


def report_of(inputs: Inputs, *, fee: float) -> Report:
    """Return the report; `fee` is what one order costs as a fraction of the stake, >= 0."""
    held = _held_seconds(inputs)
    raised = Counter(row["rule"] for row in inputs.verdicts if _is_rise(row))
    opened: dict[str, list[Aftermath]] = defaultdict(list)
    for one in inputs.aftermaths:
        opened[one.rule].append(one)
    days = sum(amount for (what, _), amount in inputs.sums.items() if what == "market_seconds") / _DAY_S
    names = sorted({*opened, *raised, *(rule for rule, _ in held)})
    lines = [_rule_line(name, opened[name], held, raised[name], days=days, fee=fee) for name in names]
    lines.sort(key=lambda line: (-line.blocks - line.would_be, -line.verdicts, line.rule))
    return Report(
        since_us=inputs.since_us,
        until_us=inputs.until_us,
        fee=fee,
        rules=tuple(lines),
        bots=_bot_lines(inputs.sums),
        feeds=_feed_lines(inputs.sums),
        latest=tuple(sorted(inputs.aftermaths, key=lambda one: -one.opened_us)[:_LATEST_MAX]),
        noisiest=min(raised, key=lambda name: (-raised[name], name), default=None),
        ran_s=inputs.sums.get(RAN),
    )


def _rule_line(
    rule: str, opened: Sequence[Aftermath], held: Mapping[tuple[str, str], float], verdicts: int, *, days: float, fee: float
) -> RuleLine:
    bound = [one for one in opened if one.bound]
    return RuleLine(
        rule=rule,
        blocks=len(bound),
        would_be=len(opened) - len(bound),
        targets=len({one.target for one in opened}),
        blocked_s=held.get((rule, "quarantined"), 0.0),
        probation_s=held.get((rule, "probation"), 0.0),
        verdicts=verdicts,
        per_market_day=verdicts / days if days >= 1 else None,
        worth=tuple(_worth(opened, place, fee) for place in range(len(HORIZONS_US))),
    )


def _worth(opened: Iterable[Aftermath], place: int, fee: float) -> Worth:
    results = [after / one.price - 1.0 - 2.0 * fee for one in opened if one.price and (after := one.prices[place]) is not None]
    return Worth(
        known=len(results),
        mean=fsum(results) / len(results) if results else None,
        avoided=fsum(-result for result in results if result < 0),
        missed=fsum(result for result in results if result > 0),
    )


def _is_rise(row: Mapping[str, Any]) -> bool:
    order = ("normal", "warning", "danger", "critical")
    return order.index(row["level"]) > order.index(row["previous"])


def _held_seconds(inputs: Inputs) -> dict[tuple[str, str], float]:
    """Return how long each rule held targets in each state, seconds, within the time of the report."""
    spans: Counter[tuple[str, str]] = Counter()
    stands: dict[str, tuple[str, int]] = {}
    rules: dict[str, str] = {}
    for row in inputs.transitions:
        quarantine = row["quarantine"]
        name, at_us = quarantine["id"], row["at_us"]
        rules[name] = row["rule"]
        state, since_us = stands.get(name, (row["previous"], max(inputs.since_us, quarantine["opened_us"])))
        spans[rules[name], state] += max(0, at_us - since_us)
        stands[name] = (row["state"], at_us)
    ends: dict[str, int] = {}
    for quarantine in inputs.standing:
        name = quarantine["id"]
        # With guard down nobody moves it on: bots see it until its announced end.
        ends[name] = min(inputs.until_us, quarantine["until_us"])
        rules.setdefault(name, quarantine["hold"]["rule"])
        stands.setdefault(name, (quarantine["state"], max(inputs.since_us, quarantine["opened_us"])))
    for name, (state, since_us) in stands.items():
        spans[rules[name], state] += max(0, ends.get(name, inputs.until_us) - since_us)
    return {key: span / 1e6 for key, span in spans.items() if key[1] != "normal"}


def _bot_lines(sums: Mapping[tuple[str, str], float]) -> tuple[BotLine, ...]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    by_rule: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for (what, name), amount in sums.items():
        kind, _, told = what.partition(".")
        if kind != "orders":
            continue
        bot, _, rule = name.partition("|")
        counts[bot][told] += int(amount)
        if rule:
            by_rule[bot, told][rule] += int(amount)
    return tuple(
        BotLine(
            bot,
            of["seen"],
            of["refused"],
            of["would_refuse"],
            of["bypassed"],
            dict(by_rule[bot, "refused"].most_common()),
            dict(by_rule[bot, "would_refuse"].most_common()),
        )
        for bot, of in sorted(counts.items())
    )


def _feed_lines(sums: Mapping[tuple[str, str], float]) -> tuple[FeedLine, ...]:
    watched = {name: amount for (what, name), amount in sums.items() if what == "market_seconds" and amount > 0}
    shares = {
        name: [min(1.0, sums.get((what, name), 0.0) / amount) for what in ("lost_seconds", "ready_seconds")]
        for name, amount in watched.items()
    }
    return tuple(FeedLine(name, watched[name] / 3600.0, 1.0 - lost, ready) for name, (lost, ready) in sorted(shares.items()))
