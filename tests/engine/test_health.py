"""How good the data of one market is."""

from __future__ import annotations

import json

import pytest

from guard.engine.health import StreamHealth
from guard.model import Channel, DataState, Market, MarketFacts, Status

HOUR_US = 3_600_000_000
NOW = 500_000 * HOUR_US


def health(*streams: str, listed_us: int | None = None) -> StreamHealth:
    return StreamHealth(MarketFacts(Market("x", "A/USDT"), streams=frozenset(streams), listed_us=listed_us))


def state(health: StreamHealth, *, is_covered: bool = True, is_degraded: bool = False) -> DataState:
    return health.state(NOW, is_covered=is_covered, is_degraded=is_degraded)


def test_a_market_without_any_stream_is_never_ok() -> None:
    nothing = health()
    nothing.tell(Channel.ALL, Status.LIVE)
    assert state(nothing) is DataState.WARMING
    assert not nothing.is_live


def test_a_stream_that_nobody_knows_is_named() -> None:
    with pytest.raises(ValueError, match=r"x:A/USDT has the streams ticker; known are trades, book"):
        health("trades", "ticker")


def test_every_stream_must_be_live() -> None:
    both = health("trades", "book")
    both.tell(Channel.TRADES, Status.LIVE)
    assert state(both) is DataState.WARMING
    both.tell(Channel.BOOK, Status.LIVE)
    assert (state(both), both.is_live) == (DataState.OK, True)
    assert state(both, is_covered=False) is DataState.WARMING
    assert state(both, is_degraded=True) is DataState.DEGRADED


@pytest.mark.parametrize("status", [Status.LOST, Status.STALLED])
def test_one_lost_stream_makes_it_stale_until_it_is_live_again(status: Status) -> None:
    both = health("trades", "book")
    both.tell(Channel.ALL, Status.LIVE)
    both.tell(Channel.BOOK, status)
    assert (state(both), both.is_live) == (DataState.STALE, False)
    both.tell(Channel.BOOK, Status.USD_RATE)
    both.tell(Channel.TRADES, Status.LIVE)
    assert state(both) is DataState.STALE
    both.tell(Channel.BOOK, Status.LIVE)
    assert state(both) is DataState.OK


def test_maintenance_outranks_all_and_live_ends_it() -> None:
    one = health("trades")
    one.tell(Channel.ALL, Status.LOST)
    one.tell(Channel.ALL, Status.MAINTENANCE)
    assert state(one) is DataState.MAINTENANCE
    one.tell(Channel.TRADES, Status.LIVE)
    assert state(one) is DataState.OK


def test_a_young_market_is_new_for_three_days() -> None:
    for hours, expected in ((71, DataState.NEW), (72, DataState.OK)):
        young = health("trades", listed_us=NOW - hours * HOUR_US)
        young.tell(Channel.ALL, Status.LIVE)
        assert state(young, is_degraded=False) is expected


def test_state_survives_a_round_trip() -> None:
    one, other = health("trades", "book"), health("trades", "book")
    one.tell(Channel.TRADES, Status.LOST)
    one.tell(Channel.BOOK, Status.MAINTENANCE)
    other.restore(json.loads(json.dumps(one.save())))
    assert other.save() == one.save()
    assert state(other) is DataState.MAINTENANCE
