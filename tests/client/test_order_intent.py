"""Twenty shapes of an order on every kind of account: what leaves and what enters, written out by hand."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.client.order_intent import FLAT, Held, Purpose, Shape, held_of, purpose_of

EXITS: Final = {"reduce", "close", "hedge"}

# What is held on each account. Nothing has to be known of spot without margin.
ACCOUNTS: Final = {
    "spot": None,
    "margin long": Held(long=2),
    "margin short": Held(short=2),
    "one-way long": Held(long=2),
    "one-way short": Held(short=2),
    "one-way flat": FLAT,
    "hedge both": Held(long=2, short=2),
    "nobody knows": None,
}

# Each shape with a letter an account, in the order above: x leaves, e enters, p leaves with the part that was held.
SHAPES: Final[list[tuple[str, str, float | None, dict[str, Any], str]]] = [
    ("buy", "market", 1, {}, "eexexexe"),
    ("buy", "limit", 2, {"postOnly": True}, "eexexexe"),
    ("sell", "market", 1, {}, "xxexeexe"),
    ("sell", "limit", 2, {}, "xxexeexe"),
    ("sell", "market", 5, {}, "xpepeepe"),
    ("buy", "market", 5, {}, "eepepepe"),
    ("sell", "market", 1, {"reduceOnly": True}, "xxxxxxxx"),
    ("buy", "limit", 1, {"reduceOnly": "true"}, "exxxxxxx"),
    ("sell", "market", None, {"closePosition": True}, "xxxxxxxx"),
    ("sell", "market", 2, {"stopLossPrice": 0.9}, "xxexexxx"),
    ("sell", "limit", 1, {"takeProfitPrice": 1.2}, "xxexexxx"),
    ("buy", "TAKE_PROFIT_MARKET", 2, {"stopPrice": 0.9}, "eexexxxx"),
    ("sell", "STOP_LOSS_LIMIT", 2, {"stopPrice": 0.9}, "xxexexxx"),
    ("buy", "market", 1, {"triggerPrice": 1.1}, "eexexexe"),
    ("sell", "STOP_MARKET", 2, {"stopPrice": 0.9}, "xxexeexe"),
    ("buy", "limit", 1, {"stopLoss": {"triggerPrice": 0.9}, "takeProfit": {"triggerPrice": 1.3}}, "eexexexe"),
    ("sell", "market", 1, {"positionSide": "LONG"}, "xxxxxxxx"),
    ("buy", "market", 1, {"posSide": "long"}, "eeeeeeee"),
    ("buy", "market", 1, {"positionIdx": 2}, "exxxxxxx"),
    ("sell", "market", 1, {"offset": "open"}, "xeeeeeee"),
    ("sell", "market", 1, {"hedged": True}, "xeeeeeee"),
    ("buy", "market", 9, {"guardIntent": "hedge"}, "xxxxxxxx"),
    ("sell", "market", 1, {"tradeSide": "close"}, "xxxxxxxx"),
    ("buy", "market", None, {"sideEffectType": "AUTO_REPAY"}, "eexexexx"),
]


@pytest.mark.parametrize(("side", "order_type", "amount", "params", "said"), SHAPES)
def test_shape_is_told_for_what_it_is(side: str, order_type: str, amount: float | None, params: dict[str, Any], said: str) -> None:
    for (account, held), letter in zip(ACCOUNTS.items(), said, strict=True):
        found = purpose_of(Shape(side, order_type, amount, params, has_positions=account != "spot"), held)
        assert found.leaves == (2 if letter == "p" else None), (account, found)
        assert (found.intent in EXITS) is (letter != "e"), (account, found)


@given(
    side=st.sampled_from(["buy", "sell", "BUY", None, "x"]),
    amount=st.one_of(st.none(), st.floats(0, 1e12)),
    long=st.floats(0, 1e9),
    short=st.floats(0, 1e9),
)
def test_plain_order_never_leaves_more_than_is_held(side: str | None, amount: float | None, long: float, short: float) -> None:
    found = purpose_of(Shape(side, "market", amount, {}, has_positions=True), Held(long, short))
    opposite = {"buy": short, "sell": long}.get((side or "").lower(), 0.0)
    assert (found.intent == "close") is (opposite > 0)
    if found.intent == "close" and amount is not None:
        assert min(amount, found.leaves or amount) <= opposite * (1 + 1e-6)


@pytest.mark.parametrize(
    ("said", "held"),
    [
        (None, FLAT),
        (0, FLAT),
        (2, Held(2, 0)),
        ("-2.5", Held(0, 2.5)),
        ({"long": 1, "short": None}, Held(1, 0)),
        ({"long": 1, "short": -2}, Held(1, 2)),
        ({"contracts": 3.0, "side": "short"}, Held(0, 3)),
        ({"contracts": None, "side": None, "amount": "4"}, Held(4, 0)),
        ([{"contracts": 3.0, "side": "short"}, {"contracts": 1.0, "side": "long"}], Held(1, 3)),
        ([], FLAT),
        (Held(1, 2), Held(1, 2)),
    ],
)
def test_holding_is_read_in_every_way_bots_write_it(said: Any, held: Held) -> None:
    assert held_of(said) == held


@pytest.mark.parametrize("said", ["many", float("nan"), {"size": 3}, object(), b"\xff"])
def test_holding_that_says_nothing_is_told(said: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        held_of(said)


def test_own_word_of_a_bot_wins() -> None:
    shape = Shape("sell", "market", 1, {"guardIntent": "open", "reduceOnly": True}, has_positions=True)
    assert purpose_of(shape, Held(long=2)) == Purpose("open")
