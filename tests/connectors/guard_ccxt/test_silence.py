"""Quiet or deaf: the judgement over tapes of thin coins, and whatever a ticker may say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from silent_tapes import DAY_US, TAPES, Exchange, S, Tape, Watch, between, first_missed_us, load

from guard.runtime.clock import seeded_random
from guard_ccxt.alive.silence import Here, Silence, There, TickerLag, there

MINUTE = 60 * S
CUTS = 80


@pytest.fixture(scope="module")
def tapes() -> list[Tape]:
    found = sorted(TAPES.glob("*.csv.gz"))
    if not found:
        pytest.skip("the tapes are not beside the checkout")
    return [load(path) for path in found]


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(Exchange(), id="usual"),
        pytest.param(Exchange(has_ids=True), id="ids"),
        pytest.param(Exchange(fails=0.3, delay_us=(20_000, 4 * S)), id="polls fail"),
        pytest.param(Exchange(lag_us=(2 * S, 20 * S)), id="slow ticker"),
        pytest.param(Exchange(lag_us=(290 * S, 310 * S)), id="ticker of five minutes ago"),
    ],
)
def test_true_stream_is_marked_at_most_once_a_day_and_never_subscribed_again(tapes: list[Tape], exchange: Exchange) -> None:
    random = seeded_random(1)
    for tape in tapes:
        watch = Watch(tape, exchange, random)
        assert watch.run(between(random, tape.at_us[0], tape.at_us[0] + MINUTE), tape.at_us[-1]) is None
        assert len(watch.marks) <= (tape.at_us[-1] - tape.at_us[0]) / DAY_US


@pytest.mark.parametrize(
    ("exchange", "counts_all", "share"),
    [
        pytest.param(Exchange(has_pages=False), False, 0.97, id="tickers alone, at another price"),
        pytest.param(Exchange(), False, 0.995, id="at another price"),
        pytest.param(Exchange(), True, 0.99, id="any trade"),
        pytest.param(Exchange(has_ids=True), True, 0.999, id="any trade, with ids"),
    ],
)
def test_cut_stream_is_noticed_within_90_s_of_the_first_missed_trade(
    tapes: list[Tape], exchange: Exchange, *, counts_all: bool, share: float
) -> None:
    # By tickers alone a price may be back before the next look: that trade left no trace but volume.
    random, waits = seeded_random(7), []
    for tape in tapes:
        for _ in range(CUTS):
            cut_us = between(random, tape.at_us[0] + 120 * MINUTE, tape.at_us[-1] - 60 * MINUTE)
            watch = Watch(tape, exchange, random)
            noticed_us = watch.run(cut_us - 120 * MINUTE + between(random, 0, MINUTE), tape.at_us[-1], cut_us=cut_us)
            missed_us = first_missed_us(tape, cut_us, counts_all=counts_all)
            if missed_us is not None:
                assert noticed_us is not None
                waits.append(noticed_us - missed_us)
    assert len(waits) > 3 * CUTS
    assert sum(wait <= 90 * S for wait in waits) >= share * len(waits)


def look(silence: Silence, here: Here, seen: There, at_s: int) -> bool:
    return silence.misses(here, seen, now_us=at_s * S, steady_us=at_s * S)


def test_silence_of_a_thin_coin_is_no_deafness() -> None:
    silence = Silence()
    here = Here(1, 1.0, 0)
    assert not any(look(silence, here, There(1.0, 50.0 - at, 9, None), 60 * at) for at in range(1, 1000))


def test_trade_at_the_same_price_shows_in_the_volume() -> None:
    silence = Silence()
    here = Here(4, 1.0, 0, total=8.0)
    assert [look(silence, here, There(1.0, volume), at) for at, volume in ((60, 8.0), (120, 7.0), (180, 9.0))] == [
        False,
        False,
        True,
    ]


def test_volume_that_we_brought_ourselves_is_no_evidence() -> None:
    silence = Silence()
    looks = [
        look(silence, Here(at, 1.0, 60 * at * S, total=5.0 * at), There(1.0, 100.0 + 5.0 * at), 60 * at + 30) for at in range(9)
    ]
    assert not any(looks)


def test_ticker_that_differs_by_nature_disturbs_less_and_less() -> None:
    silence, marks = Silence(), []
    for at in range(1, 3000):
        if look(silence, Here(at, 1.0, 60 * at * S - 50 * S), There(2.0 + at % 2), 60 * at):
            marks.append(at)
            silence.refute()
    assert len(marks) <= 3 + 3000 / 1440


def test_wall_clock_that_is_set_back_leaves_no_stream_unjudged() -> None:
    silence, here = Silence(), Here(1, 1.0, 10_000 * S)
    looks = [
        silence.misses(here, There(2.0), now_us=now * S, steady_us=60 * at * S) for at, now in enumerate((10_001, 61, 121, 181))
    ]
    assert any(looks)


def test_wall_clock_that_is_set_forward_makes_no_fresh_trade_old() -> None:
    lag = TickerLag()
    for _ in range(10):
        lag.observe(age_us=110 * S, agrees=False)
        lag.observe(age_us=115 * S, agrees=True)
    silence = Silence(lag)
    look(silence, Here(1, 1.0, 1_000 * S), There(1.0), 1_001)
    assert not silence.misses(Here(2, 2.0, 1_060 * S), There(1.0), now_us=90_000 * S, steady_us=1_061 * S)


def test_ids_that_begin_anew_are_refuted_once_and_then_left_alone() -> None:
    silence = Silence()
    look(silence, Here(1, 1.0, 0, 9_000), There(1.0, last_id=9_000), 60)
    assert look(silence, Here(2, 1.0, 0, 3), There(1.0, last_id=9_001), 120)
    silence.refute()
    assert not any(look(silence, Here(2 + at, 1.0, 0, 3 + at), There(1.0, last_id=9_002), 120 + 60 * at) for at in range(1, 50))


def test_stream_of_aggregates_is_not_held_against_ids_of_trades() -> None:
    silence = Silence()
    assert not any(
        look(silence, Here(at, 1.0, 60 * at * S, 100 + at), There(1.0, last_id=900 + 3 * at), 60 * at) for at in range(1, 50)
    )


ODD: Any = st.sampled_from([None, "", "x", "7", "9" * 30, -1, 0, 1, 1 << 70, 0.5, float("nan"), float("inf"), True, [], {}])
INFO: Any = st.one_of(ODD, st.fixed_dictionaries({"count": ODD, "lastId": ODD}))


@given(st.lists(st.one_of(st.none(), st.fixed_dictionaries({"last": ODD, "baseVolume": ODD, "info": INFO})), max_size=5))
def test_any_ticker_can_be_looked_at(tickers: list[dict[str, Any] | None]) -> None:
    silence = Silence()
    for at, ticker in enumerate(tickers, 1):
        look(silence, Here(1, 1.0, 0, 5, 2.0), there(ticker), 60 * at)


def test_null_last_is_no_price() -> None:
    silence = Silence()
    assert not any(look(silence, Here(1, 1.0, 0), there({"last": None, "info": []}), 60 * at) for at in range(1, 10))
