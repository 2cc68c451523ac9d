"""What is fixed for a market while it is open, as rules see it."""

from __future__ import annotations

import pytest
from dsl.judging import expected, judged, natively, screened
from dsl.small import condition, facts, program, row

from guard.dsl.program import FACTS, market_facts

RISKY = """rules:
  r:
    risk:
      listing: {weight: 1, value: "ramp(market.listing_risk, 0.2, 1)"}
      move: {weight: 1, value: "ramp(ret(1s), 1%, 4%)"}
"""


def test_every_name_has_a_value_for_every_market() -> None:
    assert set(market_facts(facts())) == set(FACTS)


@pytest.mark.parametrize(("risk", "fires"), [(0.9, True), (0.5, False), (None, None)])
def test_listing_risk_is_a_number_and_unknown_where_nobody_says(risk: float | None, fires: bool | None) -> None:  # noqa: FBT001 - a truth value
    made = condition("market.listing_risk > 0.5 and ret(1s) > 1%")
    about = facts()._replace(listing_risk=risk)
    assert made.bind(about).evaluate(row(made, ret_1s=0.02))[0].fires is fires


@pytest.mark.parametrize(("risk", "bound"), [(0.9, 1), (0.5, 0), (None, 1)])
def test_listing_risk_decides_the_scope_and_unknown_is_in_it(risk: float | None, bound: int) -> None:
    made = condition("ret(1s) > 1%", scope="{where: 'market.listing_risk > 0.5'}")
    assert len(made.bind(facts()._replace(listing_risk=risk)).rules) == bound


@pytest.mark.parametrize("risk", [None, 0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("move", [None, 0.0, 0.02, 0.05])
def test_every_way_to_judge_agrees_on_a_score_of_facts(risk: float | None, move: float | None) -> None:
    made = program(RISKY)
    binding = made.bind(facts()._replace(listing_risk=risk))
    values = row(made, **({} if move is None else {"ret_1s": move}))
    found = binding.evaluate(values)[0]
    if risk is None or move is None:
        assert found.score is None
    else:
        assert found.score == pytest.approx((max(risk - 0.2, 0.0) / 0.8 + min(max((move - 0.01) / 0.03, 0.0), 1.0)) / 2)
    for is_open in (False, True):
        signed = expected(made, binding, values, is_open=is_open)
        # To make machine code takes a second.
        ways = (judged, natively) if is_open and (risk, move) in ((0.6, 0.02), (None, 0.02)) else (judged,)
        assert [way(made, binding, values, signed) for way in ways] == [0] * len(ways)
        assert [way(made, binding, values, [each ^ 7 for each in signed]) for way in ways] == [1] * len(ways)
    # The plain screen leaves a score that is unknown to the compiled function.
    assert screened(made, binding, values, signed, is_open=True) == int(found.score is None)


def test_markets_of_unknown_risk_share_one_function() -> None:
    made = program(RISKY.replace("market.listing_risk, 0.2", "market.listing_risk * 2, 0.2"))
    bindings = [made.bind(facts(f"{name}/USDT")) for name in "ABC"]
    assert len({binding.evaluate for binding in bindings}) == 1
