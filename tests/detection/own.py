"""A detector of somebody else, as tests need it: what it answers is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from guard.detection.detector import Family
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import BUY, Batch, Channel, Control, Kind, Market, MarketFacts, Status, event_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.dsl import Program

SECOND = 1_000_000
START = 1_600_000_000 * SECOND
MARKETS = [MarketFacts(Market("x", f"{name}/USDT"), streams=frozenset({"trades"})) for name in "AB"]
RULE = """
rules:
  odd:
    mode: enforce
    scope: {symbol: "%s"}
    use: {mine: {detector: mine}}
    when: mine.score >= 0.5
    level: danger
    clear: {when: mine.score < 0.5, for: 1s}
    actions: {danger: [alert, quarantine]}
"""


class Nothing(BaseModel, frozen=True, extra="forbid"):
    """No parameters."""


def detector(answer: Callable[[Any], Any], name: str = "mine") -> type:
    """Return a class whose score is what `answer` makes of its features: `price`, and `count` of trades in 10 s."""

    class Mine:
        """Score what the test says."""

        title: ClassVar[str] = "Mine"
        family: ClassVar[Family] = Family.PATTERN
        is_hard: ClassVar[bool] = True
        Parameters: ClassVar[type[BaseModel]] = Nothing
        features: ClassVar[Mapping[str, str]] = {"price": "price()", "count": "trades(10s)"}
        evidence: ClassVar[tuple[str, ...]] = ("price",)

        def __init__(self, _: BaseModel) -> None:
            pass

        def score(self, features: Any) -> Any:  # noqa: ANN401 - whatever a test wants
            return answer(features)

    Mine.name = name  # type: ignore[attr-defined]
    return Mine


def compiled(kind: type, *, symbol: str = "*") -> Program:
    """Compile the rule of this module with a detector."""
    report = Report()
    rules = rules_from_text(RULE % symbol, report)
    assert not report.errors
    return compile_rules(rules, detectors={"mine": kind})


def steep(features: Any) -> float:  # noqa: ANN401 - a named tuple
    """Score by the price: 1 from 200 on."""
    return min(1.0, features.price / 200.0)


def tape(prices: Mapping[int, float] | None = None, *, seconds: int = 60, markets: int = 2) -> list[dict[str, Any]]:
    """Return a trade a second on each market after they went live; `prices` holds until the next second that it names."""
    found = [
        {"kind": Kind.STATUS, "market": row, "at_us": START, "received_us": START, "side": Channel.ALL, "key": Status.LIVE}
        for row in range(markets)
    ]
    price = 50.0
    for second in range(1, seconds):
        price = (prices or {}).get(second, price)
        for row in range(markets):
            at_us = START + second * SECOND + row
            found.append(
                {"kind": Kind.TRADE, "market": row, "at_us": at_us, "received_us": at_us + 5, "price": price, "amount": 1.0,
                 "side": BUY, "key": second}
            )  # fmt: skip
    return found


def demotion(second: float, name: str = "mine") -> dict[str, Any]:
    """Return the row that switches a detector off."""
    at_us = START + int(second * SECOND)
    return {
        "kind": Kind.CONTROL, "market": 0, "at_us": at_us, "received_us": at_us, "side": Control.DEMOTE_DETECTOR,
        "key": event_key(name),
    }  # fmt: skip


def batch(rows: list[dict[str, Any]]) -> Batch:
    """Return rows as a batch."""
    made = Batch(max(1, len(rows)))
    for row in rows:
        made.append(**row)
    return made


def merged(rows: list[dict[str, Any]], *more: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all rows in order of arrival."""
    return sorted([*rows, *more], key=lambda row: row["received_us"])
