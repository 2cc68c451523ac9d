"""Holds that wait: none is lost, each comes once, at its time, whatever was put off meanwhile."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from quarantine.holds import hold

from guard.model import Market, Target, TargetKind
from guard.quarantine.deferred import Deferred

ORDERS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "take", "drop", "hasten", "save"]), st.integers(0, 5), st.integers(0, 50)),
    max_size=150,
)


@given(ORDERS)
def test_what_waits_comes_once_at_its_time(orders: list[tuple[str, int, int]]) -> None:
    deferred, expected, now = Deferred(), {}, 0
    for order, number, ahead in orders:
        market = Market("sim", f"C{number}/USDT")
        target = Target(TargetKind.MARKET, str(market)) if number < 3 else Target(TargetKind.EXCHANGE, "sim")
        if order == "put":
            deferred.put(hold(market=market, target=target), now + ahead, is_led=bool(number % 2))
            expected[market, target] = now + ahead
        elif order == "drop":
            deferred.drop(hold(market=market, target=target))
            expected.pop((market, target), None)
        elif order == "hasten":
            deferred.hasten(now)
            expected = {each: min(due, now) for each, due in expected.items()}
        elif order == "save":
            saved = json.loads(json.dumps(deferred.save()))
            deferred = Deferred()
            deferred.load(saved)
        else:
            now += ahead
            due = sorted((due, str(of), str(by)) for (by, of), due in expected.items() if due <= now)
            assert [(each.due_us, str(each.hold.target), str(each.hold.market)) for each in deferred.take(now)] == due
            expected = {each: due for each, due in expected.items() if due > now}
        assert (len(deferred), deferred.next_due_us) == (len(expected), min(expected.values(), default=None))


def test_putting_the_same_off_again_and_again_takes_no_more_room() -> None:
    deferred = Deferred()
    for due_us in range(10_000):
        deferred.put(hold(), 10_000 - due_us)
    assert len(deferred._heap) <= 70
