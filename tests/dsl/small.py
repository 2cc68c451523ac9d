"""Small tables and rules for tests of the language."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from guard.detection.detector import Family
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import RuleError
from guard.features.tables import Argument, Feature, Field, Type, Unit
from guard.model import Market, MarketClass, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl import Program

WINDOW = Argument("w", Type.DURATION)
FIELDS = (
    Field("ret", Unit.RATIO, "Return.", (WINDOW,)),
    Field("volume", Unit.BASE, "Volume.", (WINDOW,)),
    Field("buy_volume", Unit.BASE, "Bought.", (WINDOW,)),
    Field("volume_usd", Unit.USD, "Turnover.", (WINDOW,)),
    Field("trades", Unit.COUNT, "Trades.", (WINDOW,)),
    Field("spread", Unit.RATIO, "Spread.", (), "book"),
    Field(
        "depth",
        Unit.QUOTE,
        "Depth.",
        (Argument("band", Type.RATIO), Argument("side", Type.TEXT, "both", ("bid", "ask", "both"))),
        "book",
    ),
    Field("crossed", Unit.BOOL, "Crossed.", (), "book"),
    Field("age", Unit.DURATION, "Age.", (Argument("of", Type.TEXT, "trades", ("trades", "book")),), "market"),
    Field("volume_24h_usd", Unit.USD, "Turnover of a day.", (), "market"),
    Field("corr", Unit.NONE, "Correlation.", (Argument("with", Type.TEXT), WINDOW)),
)
CATALOGUE = (
    Feature("buy_share", "buy_volume(w) / volume(w)", Unit.RATIO, "Share.", (WINDOW,), min_count=20),
    Feature(
        "vol_z",
        "log(1 + volume(w) * min(1, 60s / w) / volume(baseline)) / 0.25",
        Unit.SIGMA,
        "Volume.",
        (WINDOW, Argument("baseline", Type.DURATION, "6h")),
    ),
    Feature("is_wide", "spread() > 50bp", Unit.BOOL, "Wide."),
    Feature(
        "imbalance",
        "(depth(band, side=bid) - depth(band, side=ask)) / depth(band)",
        Unit.RATIO,
        "",
        (Argument("band", Type.RATIO),),
    ),
)


class PumpParameters(BaseModel, frozen=True, extra="forbid"):
    """Parameters of the test's detector."""

    window: str = "10s"
    rise: float = 0.04
    count: int = 8


class Pump:
    """A detector like the real ones."""

    name: ClassVar[str] = "pump_dump"
    title: ClassVar[str] = "Pump"
    family: ClassVar[Family] = Family.PATTERN
    is_hard: ClassVar[bool] = False
    Parameters: ClassVar[type[BaseModel]] = PumpParameters
    let: ClassVar[Mapping[str, str]] = {"move": "ret(window)", "active": "move > rise"}
    score: ClassVar[str] = "min(move / rise, 1)"
    evidence: ClassVar[tuple[str, ...]] = ("ret(window)", "trades(window)")


DETECTORS = {"pump_dump": Pump}

RULE = """
lists: {majors: [BTC/USDT, ETH/USDT]}
macros: {hot: "vol_z(60s) > 4 and buy_share(60s) > 75%"}
rules:
  pump:
    title: Pump
    mode: enforce
    scope: {symbol: "*/USDT", where: "volume_24h_usd < 20M and market.class == spot"}
    use: {pump: {detector: pump_dump, params: {window: 30s, rise: 2%}}}
    let: {move: ret(60s)}
    when: pump.active and (move > 1% or hot)
    unless: {majors: market.symbol in $majors}
    risk:
      price_volatility: {weight: 0.5, value: "ramp(abs(move), 1%, 4%)"}
      order_book: {weight: 0.2, value: "ramp(spread(), 10bp, 50bp)", optional: true}
      trade_pattern: {weight: 0.3, value: pump.score}
    for: 2s
    clear: {when: score < 0.45, for: 2m}
    actions:
      danger: [alert, {quarantine: {for: 30m, release: {when: score < 0.3, for: 10m}}}]
"""


def program(text: str = RULE) -> Program:
    """Compile one pack with the small tables; raises RuleError with every problem."""
    report = Report()
    rules = rules_from_text(text, report)
    if report.errors:
        raise RuleError(*report.errors)
    return compile_rules(rules, fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)


def condition(text: str, **keys: str) -> Program:
    """Compile one rule with this condition."""
    quoted = text.replace('"', '\\"')
    more = "".join(f"\n    {key}: {value}" for key, value in keys.items())
    return program(f'rules:\n  one:\n    mode: enforce\n    level: danger\n    when: "{quoted}"{more}\n')


def facts(symbol: str = "X/USDT", **changes: object) -> MarketFacts:
    """Return the facts of a small spot market."""
    return MarketFacts(Market("sim", symbol), MarketClass.SPOT)._replace(**changes)


def row(of: Program, default: float = float("nan"), **values: float) -> list[float]:
    """Return a row of leaves by their written form without brackets: ``ret_60s`` is ``ret(60000000)``."""
    found = []
    for leaf in of.leaves:
        seconds = "_".join(f"{int(part) // 1_000_000}s" if isinstance(part, int) else str(part) for part in leaf.arguments)
        found.append(values.get(f"{leaf.field}_{seconds}" if seconds else leaf.field, default))
    return found
