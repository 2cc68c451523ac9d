"""What a rule would post and call in a test."""

from __future__ import annotations

import pytest
from runtime.rehearsal.cases import PACK, problems_of
from runtime.rehearsal.test_judge import JUMP, judged

KEYS = f"{JUMP}\nexpect: [{{by: 12s, level: danger}}]\norders: %s"


def pack(mode: str) -> str:
    return PACK.replace("mode: enforce", f"mode: {mode}").replace("[quarantine]", "[webhook: my_bot]")


@pytest.mark.parametrize(
    ("mode", "orders", "misses"),
    [
        ("alert", "['webhook:my_bot']", []),
        ("alert", "[]", ["orders nothing: it orders webhook:my_bot"]),
        ("alert", "['webhook:my_bot', 'call:a.b']", ["orders call:a.b, webhook:my_bot: it orders webhook:my_bot"]),
        ("shadow", "['webhook:my_bot']", ["orders webhook:my_bot: it orders nothing"]),
        ("shadow", "[]", []),
    ],
)
def test_orders_of_a_test_are_all_that_the_rule_orders(mode: str, orders: str, misses: list[str]) -> None:
    assert judged(KEYS % orders, pack(mode)) == misses


def test_order_that_is_none_is_refused() -> None:
    assert problems_of("tests: {one: {rule: jump, expect: [{never: warning}], orders: [my_bot]}}")
