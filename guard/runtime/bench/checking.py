"""How long a check of a large rule file takes, against what nobody can do without: parsing it and validating its keys."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import yaml

from guard.dsl.document import plain
from guard.dsl.loading import check
from guard.dsl.parser import parse
from guard.dsl.problems import Report
from guard.dsl.reading import read_text
from guard.dsl.rule_models import Pack
from guard.errors import RuleError
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, unjudged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.dsl.document import Node
    from guard.runtime.bench.plan import Plan

__all__ = ["made", "measure"]

_RULES = 300
_TIMES_MAX = 2.5
_ROUNDS_MIN = 9
_GROUP = 10
_DETECTORS = ("pump_dump", "wash_trading", "spoofing", "spread_blowout", "divergence")
_HEAD = """version: 1
lists:
  majors: [BTC/USDT, ETH/USDT, BTC/USDC, ETH/USDC, BTC/USD, ETH/USD]
macros:
  whole_market_moves: abs(trend_gap()) < 3%
rules:
"""
_RULE = """  {detector}_{number}:
    title: Thin coins that are moved by many hands, group {number}
    why: buyers within seconds of each other pay through several levels of the book and leave within the minute
    mode: shadow
    tags: [thin, group_{number}]
    scope:
      symbol: ["*/USDT", "*/USDC"]
      exclude: ["*3L/USDT", "*3S/USDT", BTC/USDT, ETH/USDT]
      class: [spot]
      where: volume_24h_usd() < {millions}M
    use:
      found: {{detector: {detector}}}
    when: found.score > {threshold} and (spread_z() > 1 or vol_z(5m) > {sigma})
    unless:
      majors: market.symbol in $majors
      market_wide: whole_market_moves and abs(mid_ret(10s)) < 50bp
    risk:
      price_volatility: {{weight: 0.3, value: "found.score * ramp(abs(residual_gap()), 1%, {percent}%)"}}
      volume_anomaly: {{weight: 0.3, value: "found.score * ramp(vol_z(5m), 0, {sigma})", optional: true}}
      order_book: {{weight: 0.2, value: "found.score * ramp(spread_z(), 2, 8)", optional: true}}
      trade_pattern: {{weight: 0.2, value: found.score}}
    for: 2s
    clear: {{when: score < 0.45, for: 2m}}
    actions:
      warning: [alert]
      danger:
        - alert
        - quarantine:
            for: 30m
            escalate: {{factor: 2, max: 24h, forget: 1d}}
            release: {{when: score < 0.3 and abs(trend_gap()) < 3%, for: 10m, probation: 30m}}
"""


def measure(plan: Plan) -> Iterator[Row]:
    """Yield a check of 300 rules in one file, with all that it looks at, against reading and validating them alone."""
    count = max(5, int(_RULES * plan.scale))
    text = made(count)
    row = Row(
        "n",
        f"check of {count} rules in one file of {len(text) // 1000} kB: expressions, units, detectors, lints",
        "ms",
        "plain",
        Bar(_TIMES_MAX, is_ceiling=True),
        reference_name="compose and validate",
    )
    values = plain(_root(text))

    def alone() -> None:
        yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        Pack.model_validate(values)

    with TemporaryDirectory(prefix="guard-bench-") as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(text, encoding="utf-8")

        def ours() -> None:
            # As a fresh process does it: no expression was ever seen.
            parse.cache_clear()
            found = check([path])
            if found:
                raise RuleError(*found)

        yield _compared(plan, row, ours, alone, collects=True)
        told = row._replace(key="n.still", title="the same without Python's garbage collector on either side")
        yield _compared(plan, told, ours, alone, collects=False)._replace(
            is_met=None, note="told beside n: guard halts the collector while it reads, which the reference does not"
        )


def _compared(plan: Plan, row: Row, ours: Callable[[], None], alone: Callable[[], None], *, collects: bool) -> Row:
    tasks = [partial(_milliseconds, task, plan, collects=collects) for task in (ours, alone)]
    mine, reading = interleaved(tasks, plan.rounds if plan.is_quick else max(plan.rounds, _ROUNDS_MIN))
    if hasattr(yaml, "CSafeLoader"):
        return judged(row, mine, reading)
    return unjudged(row, mine, "PyYAML is here without its parser in C")


def _milliseconds(task: Callable[[], None], plan: Plan, *, collects: bool) -> float:
    return 1e3 * timed(task, plan.clock, collects=collects)


def made(count: int) -> str:
    """Return a pack of so many rules in the shape of the shipped ones, each with a threshold of its own.

    Three more thresholds are those of a group of ten, as where one set of rules is tuned for thirty kinds of markets.
    """
    rules = (
        _RULE.format(
            number=number,
            detector=_DETECTORS[number % len(_DETECTORS)],
            threshold=f"{0.5 + number / 1000:.3f}",
            millions=20 + number // _GROUP,
            sigma=f"{2 + number // _GROUP / 10:.1f}",
            percent=f"{2 + number // _GROUP / 10:.1f}",
        )
        for number in range(count)
    )
    return _HEAD + "".join(rules)


def _root(text: str) -> Node:
    report = Report()
    root = read_text("rules.yaml", text, report)
    if root is None:
        raise RuleError(*report.errors)
    return root
