from guard.model import Market, MarketFacts
from guard.runtime.selection import choose


def facts(symbol: str, volume: float | None = None) -> MarketFacts:
    return MarketFacts(Market("x", symbol), volume_24h_usd=volume)


OFFERED = [facts("A/USDT", 5.0), facts("B/USDT", 9.0), facts("C/BTC", 99.0), facts("D3L/USDT", 7.0), facts("E/USDT")]


def names(chosen: list[MarketFacts]) -> list[str]:
    return [f.market.symbol for f in chosen]


def test_globs_choose_and_the_busiest_come_first() -> None:
    chosen, left = choose(OFFERED, markets=["*/USDT"], exclude=["*3L/*"], markets_max=10)
    assert (names(chosen), left) == (["B/USDT", "A/USDT", "E/USDT"], 0)


def test_a_market_written_out_comes_before_what_a_star_found() -> None:
    chosen, left = choose(OFFERED, markets=["*/USDT", "E/USDT"], markets_max=2)
    assert (names(chosen), left) == (["E/USDT", "B/USDT"], 2)


def test_quotes_limit_the_quote_asset() -> None:
    assert names(choose(OFFERED, markets=["*"], quotes=["BTC"], markets_max=9)[0]) == ["C/BTC"]
