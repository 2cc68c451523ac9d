"""Binance's decoder against stock ccxt on generated frames: every row, every count and every book must be equal."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import NOW_MS, both, market

from guard.model import BUY, SELL, Channel, Flag, Kind, Status
from guard_ccxt.stream.subscription import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiers import Side

SPOT = "wss://stream.binance.com:9443/stream"
CONTRACTS = "wss://fstream.binance.com/ws/1"
SPOT_MARKETS = [market("BTCUSDT", "BTC/USDT", "spot"), market("BTCUSDT", "BTC/USDT:USDT", "swap", size=1.0)]
CONTRACT_MARKETS = [
    market("BTCUSDT", "BTC/USDT", "spot"),
    market("BTCUSDT", "BTC/USDT:USDT", "swap", size=10.0),
    market("BTCUSD_PERP", "BTC/USD:BTC", "swap", size=100.0, inverse=True),
    market("BTC-OPT", "BTC/USDT:USDT-OPT", "option", size=1.0),
]

decimals = st.decimals(min_value="1e-8", max_value="1e6", places=8).map(str)
numbers = st.one_of(
    decimals,
    decimals,
    st.floats(1e-9, 1e9).map(repr),
    st.floats(1e-9, 1e9),
    st.integers(0, 10**6),
    st.sampled_from(
        ["1e-8", "1E-8", "1e5", "+1", " 1.0", "1.0 ", ".5", "5.", "00.5", "0.00000000", "-0.0", "-1", "nan", "inf", "", "x", "1_0"]
    ),
    st.sampled_from([None, True, False, 0, -1, 1e300, "1e300", "1e16", "1e18", "1e-400", [], {}, "٣"]),
)
identities = st.one_of(
    st.integers(0, 30), st.integers(0, 30).map(str), st.sampled_from([None, -1, 12.0, "12.0", "x", "", 10**18, 10**30, True, "012"])
)
stamps = st.one_of(
    st.integers(NOW_MS - 100, NOW_MS + 50),
    st.sampled_from([NOW_MS - 90_000, NOW_MS + 10_000, str(NOW_MS), float(NOW_MS), NOW_MS + 0.5, f"{NOW_MS}.0"]),
    st.sampled_from([None, 0, -5, "x", 10**20, 1, NOW_MS * 1000, NOW_MS + 10**9]),
)
market_ids = st.sampled_from(["BTCUSDT", "BTCUSDT", "BTCUSDT", "BTCUSD_PERP", "BTC-OPT", "ETHUSDT", "", None, 5])
EXTRA = {
    **dict.fromkeys(("quantity", "qty", "price", "side", "symbol", "x", "time", "L", "l", "S", "tradeId"), numbers),
    **dict.fromkeys(
        ("optionSide", "isDustTrade", "isBuyer", "maker", "isMaker", "M", "X", "st", "b", "n", "Y", "ps", "i"), numbers
    ),
    **dict.fromkeys(
        ("status", "error", "id", "event", "data", "unknown", "stream", "result"), st.one_of(numbers, st.just({"e": "trade"}))
    ),
}


@st.composite
def trades(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["trade", "trade", "trade", "aggTrade", "optionTrade", "kline", None]))
    data = {
        "e": kind,
        "E": draw(stamps),
        "s": draw(market_ids),
        "a" if kind == "aggTrade" else "t": draw(identities),
        "p": draw(numbers),
        "q": draw(numbers),
        "T": draw(stamps),
        "m": draw(st.sampled_from([True, False, True, False, None, "true", "false", 1, 0])),
    }
    return _varied(draw, data)


def _varied(draw: st.DrawFn, data: dict[str, Any]) -> dict[str, Any]:
    for name in draw(st.lists(st.sampled_from(sorted(EXTRA)), max_size=2)):
        data.setdefault(name, draw(EXTRA[name]))
    if draw(st.integers(0, 9)) == 0:
        del data[draw(st.sampled_from(sorted(data)))]
    return {name: data[name] for name in draw(st.permutations(sorted(data)))} if draw(st.booleans()) else data


def plain_trade(identity: int, **changed: Any) -> dict[str, Any]:
    ordinary = {"e": "trade", "E": NOW_MS, "s": "BTCUSDT", "t": identity, "p": "0.00000001", "q": "5.00000000", "T": NOW_MS - 3}
    return {**ordinary, "m": True, "M": True, **changed}


@st.composite
def texts(draw: st.DrawFn, events: st.SearchStrategy[dict[str, Any]]) -> str:
    data = draw(events)
    match draw(st.integers(0, 8)):
        case 0 | 1 | 2:
            return json.dumps(data)
        case 3:
            return json.dumps({"data": data, "stream": "x"})
        case 4:
            return json.dumps({"stream": draw(st.sampled_from(["", None, 5])), "data": data})
        case 5:
            return json.dumps(
                {"stream": "x", "data": data, **draw(st.sampled_from([{"id": 5}, {"error": {"code": 1}}, {"e": "kline"}]))}
            )
        case _:
            return json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":"))


def run(what: Callable[[], None]) -> None:
    """Run in a loop, which ccxt's clients and futures want."""

    async def inside() -> None:
        what()

    asyncio.run(inside())


def assert_equal(generic: Side, fast: Side, frame: str = "") -> None:
    assert fast.written() == generic.written(), frame


# What happens between frames: time passes, a connection is lost, a repair ends.
moves = st.sampled_from([("wait", 10_000), ("wait", 6_000_000), ("lose",), ("begin",), ("settle",)])


def do(side: Side, move: tuple[Any, ...], channel: Channel) -> None:
    for (of, _), subscription in side.tap.subscriptions.items():
        if of is not channel:
            continue
        match move:
            case ("lose",):
                subscription.lose(Status.LOST, last_good_us=side.clock.now_us())
            case ("begin",) if subscription.phase is Phase.LOST:
                subscription.begin()
            case ("settle",) if subscription.held is not None:
                subscription.settle((), is_closed=False)
    if move[0] == "wait":
        side.clock.at_us += move[1]


@pytest.mark.parametrize(("url", "markets"), [(SPOT, SPOT_MARKETS), (CONTRACTS, CONTRACT_MARKETS)])
def test_generated_trades_become_the_same_rows_as_by_stock(url: str, markets: list[Any]) -> None:
    ordinary = st.builds(plain_trade, st.integers(1, 50), p=decimals, q=decimals, m=st.booleans(), s=market_ids)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.one_of(texts(trades()), texts(ordinary), texts(ordinary), moves), min_size=1, max_size=25))
    def differ(steps: list[Any]) -> None:
        def compare() -> None:
            generic, fast = both("binance", url, markets)
            for step in steps:
                for side in (generic, fast):
                    if isinstance(step, tuple):
                        do(side, step, Channel.TRADES)
                    else:
                        side.take(step)
                assert_equal(generic, fast, str(step))
            assert fast.counters.bad_frames == generic.counters.bad_frames

        run(compare)

    differ()


def test_a_plain_trade_of_each_kind_is_read_without_ccxt() -> None:
    def read() -> None:
        _, spot = both("binance", SPOT, SPOT_MARKETS)
        spot.take(json.dumps({"stream": "btcusdt@trade", "data": plain_trade(7)}))
        spot.take(json.dumps(plain_trade(8, m=False)))
        aggregate = {**plain_trade(0), "e": "aggTrade", "a": 9, "f": 1, "l": 2, "nq": "5"}
        del aggregate["t"]
        spot.take(json.dumps(aggregate))
        assert [(row.side, row.key, row.price, row.amount) for row in spot.rows.of(Kind.TRADE)] == [
            (SELL, 7, 1e-8, 5.0),
            (BUY, 8, 1e-8, 5.0),
            (SELL, 9, 1e-8, 5.0),
        ]
        assert (spot.counters.frames, spot.counters.fallbacks) == (3, 0)
        _, contracts = both("binance", CONTRACTS, CONTRACT_MARKETS)
        contracts.take(json.dumps({**plain_trade(7, p="50000", q="2"), "X": "MARKET"}))
        contracts.take(json.dumps(plain_trade(8, s="BTCUSD_PERP", p="50000", q="10")))
        assert [(row.market, row.amount) for row in contracts.rows.of(Kind.TRADE)] == [(1, 20.0), (2, 10 * 100.0 / 50000.0)]
        assert contracts.counters.fallbacks == 0

    run(read)


levels = st.lists(
    st.tuples(st.integers(1, 40).map(lambda at: f"{at / 8:.8f}"), st.sampled_from(["0.00000000", "1.50000000", "2", "1e-8"])),
    max_size=6,
)
odd_levels = st.lists(
    st.one_of(st.tuples(numbers, numbers), st.tuples(decimals, numbers), st.just([]), st.tuples(decimals)), max_size=3
)
# (skip, length, bids, asks, key changes): `skip` 0 follows, 1 leaves a hole, -2 is old.
diffs = st.tuples(
    st.sampled_from([0] * 12 + [1, -2, -1]),
    st.integers(0, 3),
    st.one_of(levels, levels, levels, odd_levels),
    levels,
    st.sampled_from(
        [{}] * 12 + [{"E": None}, {"E": "x"}, {"u": None}, {"U": "7"}, {"b": None}, {"b": {}}, {"id": 5}, {"e": "odd"}, {"E": 5}]
    ),
)
book_moves = st.one_of(moves, st.sampled_from([("snapshot",), ("unsync",), ("show",), ("snapshot",)]))
SNAPSHOT = ([[2.0, 1.0], [1.875, 1.0], [1.0, 3.0]], [[2.125, 1.0], [2.25, 4.0], [3.0, 1.0]])


class Diffs:
    """Gives both sides of a comparison the same diffs, in sequence where they should be."""

    def __init__(self, sides: tuple[Side, Side], symbol: str, *, is_contract: bool) -> None:
        self.sides, self.symbol, self.is_contract = sides, symbol, is_contract
        self.last = 1000

    def step(self, step: tuple[Any, ...]) -> None:
        text = None if isinstance(step[0], str) else self._text(*step)
        for side in self.sides:
            if text is not None:
                side.take(text)
            else:
                self._move(side, step)

    def _move(self, side: Side, move: tuple[Any, ...]) -> None:
        book = side.exchange.orderbooks.get(self.symbol)
        match move:
            case ("snapshot",):
                side.synchronise(self.symbol, self.last, *SNAPSHOT)
            case ("unsync",) if book is not None:
                book["nonce"], book.cache = None, []
            case ("show",):
                side.tap.subscriptions[Channel.BOOK, self.symbol].show_book()
            case _:
                do(side, move, Channel.BOOK)

    def _text(self, skip: int, length: int, bids: list[Any], asks: list[Any], changed: dict[str, Any]) -> str:
        first = self.last + 1 + skip
        last = first + length
        data = {"e": "depthUpdate", "E": NOW_MS, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
        if self.is_contract:
            data["pu"] = first - 1
        self.last = max(self.last, last)
        return json.dumps({"stream": "btcusdt@depth@100ms", "data": {**data, **changed}})


@pytest.mark.parametrize(
    ("url", "markets", "symbol"), [(SPOT, SPOT_MARKETS, "BTC/USDT"), (CONTRACTS, CONTRACT_MARKETS, "BTC/USDT:USDT")]
)
def test_generated_books_become_the_same_rows_as_by_stock(url: str, markets: list[Any], symbol: str) -> None:
    @settings(max_examples=250, deadline=None)
    @given(st.lists(st.one_of(diffs, diffs, diffs, diffs, book_moves), min_size=1, max_size=40), st.sampled_from([10, 2000]))
    def differ(steps: list[Any], levels_max: int) -> None:
        def compare() -> None:
            generic, fast = both("binance", url, markets, levels_max=levels_max)
            game = Diffs((generic, fast), symbol, is_contract=url == CONTRACTS)
            game.step(("snapshot",))
            for number, step in enumerate(steps):
                game.step(step)
                assert_equal(generic, fast, str(step))
                if number % 7 == 6:
                    assert fast.book(symbol) == generic.book(symbol)
            assert fast.book(symbol) == generic.book(symbol)

        run(compare)

    differ()


def test_a_book_is_kept_without_ccxt_and_whole_when_ccxt_wants_it_back() -> None:
    def read() -> None:
        generic, fast = both("binance", SPOT, SPOT_MARKETS)
        game = Diffs((generic, fast), "BTC/USDT", is_contract=False)
        game.step(("snapshot",))
        for amount in range(1, 50):
            game.step((0, 1, [["1.5", str(amount)], ["1.875", "0"]], [["2.5", f"{amount}.5"]], {}))
        assert fast.counters.fallbacks == 0
        book = fast.exchange.orderbooks["BTC/USDT"]
        assert book["bids"].lender is not None
        game.step((0, 0, [["1.25", "7", "surplus"]], [], {}))  # a level of another length: ccxt reads it
        assert fast.counters.fallbacks == 1
        assert [list(level) for level in book["bids"]] == [[2.0, 1.0], [1.5, 49.0], [1.25, 7.0], [1.0, 3.0]]
        assert_equal(generic, fast)
        game.step((1, 0, [], [], {}))  # a hole in the sequence: ccxt lets go of the book
        assert fast.exchange.orderbooks == generic.exchange.orderbooks == {}
        game.step(("snapshot",))
        game.step((0, 0, [["1.25", "7"]], [], {}))
        assert_equal(generic, fast)
        assert fast.rows.rows[-1].flags == Flag.LAST

    run(read)
