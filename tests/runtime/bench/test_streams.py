"""The programs of the live bench run, and delivery is judged as it should be; no time is asserted."""

from __future__ import annotations

import pytest

from guard.errors import Unavailable
from guard.runtime.bench.connected import Exchange
from guard.runtime.bench.streams import delivered


@pytest.mark.parametrize(("received", "is_met"), [((100, 100), True), ((100, 99), False), ((100, 101), False)])
def test_delivery_is_met_where_every_round_has_neither_less_nor_more(received: tuple[int, int], *, is_met: bool) -> None:
    answers = [{"fast": {"sent": 100, "received": count}, "stock": {"sent": 100, "received": 40}} for count in received]
    row = delivered("o", "trades", "fast", answers)
    assert row.is_met is is_met
    assert "40 %" in row.note


def test_a_reader_of_the_fast_tier_gets_all_that_is_sent_and_goes_on_after_a_bad_frame() -> None:
    with Exchange("trades", 2, ("fast",)) as exchange:
        found = exchange.ask("fast", count=200, rate=2000)
        assert (found["sent"], found["received"]) == (200, 200)
        assert found["frames"] - found["fallbacks"] >= 200
        assert exchange.ask("fast", bad=1)["received"] == 1


def test_a_program_that_ends_is_told() -> None:
    with pytest.raises(Unavailable, match="ended with code"), Exchange("nonsense", 2, ("fast",)):
        pass
