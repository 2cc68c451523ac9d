"""Which markets are watched, and how they come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.dsl.market_where import MarketWhere
from guard.model import Market, MarketFacts
from guard.runtime.selection import Chosen, Selection, Wanted

HOUR_US = 3_600_000_000


def facts(symbol: str, volume: float | None = None, *tags: str) -> MarketFacts:
    return MarketFacts(Market("x", symbol), volume_24h_usd=volume, tags=frozenset(tags))


OFFERED = [facts("A/USDT", 5.0), facts("B/USDT", 9.0), facts("C/BTC", 99.0), facts("D3L/USDT", 7.0), facts("E/USDT")]


def names(chosen: Chosen) -> list[str]:
    return [f.market.symbol for f in chosen.markets]


def once(*markets: str, most: int = 10, **wanted: object) -> Chosen:
    return Selection(Wanted(markets, most, **wanted)).choose(OFFERED, now_us=0)  # type: ignore[arg-type] - keys of Wanted


def test_globs_choose_and_the_busiest_come_first() -> None:
    chosen = once("*/USDT", exclude=["*3L/*"])
    assert (names(chosen), chosen.left_out) == (["B/USDT", "A/USDT", "E/USDT"], 0)
    assert chosen.reasons == {"C/BTC": "no pattern of markets fits", "D3L/USDT": "excluded"}


def test_a_market_written_out_comes_before_what_a_star_found() -> None:
    chosen = once("*/USDT", "E/USDT", most=2)
    assert (names(chosen), chosen.left_out) == (["E/USDT", "B/USDT"], 2)
    assert chosen.reasons["A/USDT"] == "max_markets is 2, and others have more turnover"


def test_quotes_limit_the_quote_asset() -> None:
    assert names(once("*", quotes=["BTC"])) == ["C/BTC"]


def test_where_leaves_out_what_it_rejects_and_keeps_what_it_does_not_know() -> None:
    assert names(once("*", where=MarketWhere("volume_24h_usd() > 8"))) == ["C/BTC", "B/USDT", "E/USDT"]


def test_a_watched_market_leaves_an_hour_after_its_turnover_fell_a_fifth_below_the_bound() -> None:
    selection = Selection(Wanted(["*"], 10, where=MarketWhere("volume_24h_usd() > 100")))
    seen = []
    for at_us, volume in ((0, 99.0), (1, 101.0), (2, 81.0), (3, 79.0), (3 + HOUR_US - 1, 79.0), (3 + HOUR_US, 79.0)):
        seen.append(names(selection.choose([facts("A/USDT", volume)], now_us=at_us)))
    assert seen == [[], ["A/USDT"], ["A/USDT"], ["A/USDT"], ["A/USDT"], []]


def test_the_hour_begins_anew_where_a_market_is_wanted_in_between() -> None:
    selection = Selection(Wanted(["*"], 10, where=MarketWhere("volume_24h_usd() > 100")))
    for at_us, volume in ((0, 101.0), (1, 50.0), (HOUR_US // 2, 90.0), (HOUR_US, 50.0), (HOUR_US + 10, 50.0)):
        assert names(selection.choose([facts("A/USDT", volume)], now_us=at_us)) == ["A/USDT"]


def test_what_a_bot_trades_is_watched_beyond_max_markets_and_without_a_pattern() -> None:
    selection = Selection(Wanted(["B/*"], 1))
    chosen = selection.choose(OFFERED, now_us=0, traded={"C/BTC", "D3L/USDT"})
    assert names(chosen) == ["C/BTC", "D3L/USDT"]
    assert chosen.left_out == 1


def test_what_a_bot_gave_up_goes_after_an_hour() -> None:
    selection = Selection(Wanted([], 10))
    assert names(selection.choose(OFFERED, now_us=0, traded={"C/BTC"})) == ["C/BTC"]
    assert names(selection.choose(OFFERED, now_us=HOUR_US)) == ["C/BTC"]
    assert names(selection.choose(OFFERED, now_us=2 * HOUR_US)) == []


def test_a_held_market_stays_whatever_happens() -> None:
    selection = Selection(Wanted(["*"], 1))
    selection.choose([facts("A/USDT", 1.0)], now_us=0)
    rival = [facts("B/USDT", 100.0)]
    assert set(names(selection.choose(rival, now_us=9 * HOUR_US, is_held=lambda m: m.base == "A"))) == {"B/USDT", "A/USDT"}
    assert names(selection.choose(rival, now_us=99 * HOUR_US)) == ["B/USDT"]


def test_a_held_market_goes_on_being_watched_after_a_restart_and_no_other_comes_for_being_held() -> None:
    selection = Selection(Wanted(["B/*"], 9), earlier=["x:A/USDT", "x:E/USDT"])
    held = {"A/USDT", "C/BTC"}
    assert set(names(selection.choose(OFFERED, now_us=0, is_held=lambda m: m.symbol in held))) == {"A/USDT", "B/USDT"}
    assert names(selection.choose(OFFERED, now_us=HOUR_US)) == ["B/USDT"]


def test_a_market_that_vanished_from_the_list_goes_after_an_hour_but_not_if_a_bot_trades_it() -> None:
    selection = Selection(Wanted(["*"], 10))
    offered = [facts("A/USDT"), facts("B/USDT")]
    selection.choose(offered, now_us=0)
    for at_us, left in ((1, ["A/USDT", "B/USDT"]), (HOUR_US + 1, ["A/USDT"])):
        assert sorted(names(selection.choose([], now_us=at_us, traded={"A/USDT"}))) == left


def test_a_halted_market_is_not_begun_and_goes_after_an_hour() -> None:
    selection = Selection(Wanted(["*"], 10))
    assert names(selection.choose([facts("A/USDT", 1.0, "halted"), facts("B/USDT")], now_us=0)) == ["B/USDT"]
    halted = [facts("B/USDT", None, "halted")]
    assert names(selection.choose(halted, now_us=1)) == ["B/USDT"]
    assert names(selection.choose(halted, now_us=1 + HOUR_US)) == []


@given(st.lists(st.lists(st.floats(1.0, 1000.0), min_size=8, max_size=8), min_size=1, max_size=20), st.integers(1, 8))
def test_never_more_than_allowed_and_never_a_swap_for_less_than_a_quarter(rounds: list[list[float]], most: int) -> None:
    selection = Selection(Wanted(["*"], most))
    before: set[str] = set()
    for at_us, volumes in enumerate(rounds):
        offered = [facts(f"{name}/USDT", volume) for name, volume in zip("ABCDEFGH", volumes, strict=True)]
        now = set(names(selection.choose(offered, now_us=at_us)))
        assert len(now) == most
        turnover = {each.market.symbol: each.volume_24h_usd or 0.0 for each in offered}
        if before:
            assert all(turnover[come] * 0.8 >= turnover[gone] * 0.999 for come in now - before for gone in before - now)
        before = now
