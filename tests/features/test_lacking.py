"""Why a leaf is unknown: whoever waits as long as it says has it, and no earlier."""

from __future__ import annotations

import re
from math import isnan

import pytest

from guard.features.fields import FIELDS
from guard.features.kernel import Kernel
from guard.features.lacking import lacking, lasting
from guard.features.tables import Leaf, Type
from guard.model import BUY, Batch, Channel, Kind, Market, MarketFacts, Status

S = 1_000_000
T0 = 1_700_000_000 * S
STREAMS = frozenset({"trades"})


def kernel(*leaves: Leaf, streams: frozenset[str] = STREAMS) -> Kernel:
    made = Kernel(leaves)
    made.open(MarketFacts(Market("x", "A/USDT"), streams=streams))
    tell(made, T0, Status.LIVE)
    return made


def tell(made: Kernel, at_us: int, status: Status) -> None:
    batch = Batch(1)
    batch.append(Kind.STATUS, 0, at_us=at_us, received_us=at_us, side=Channel.ALL, key=status)
    made.apply(batch, 0)


def trade(made: Kernel, at_us: int, price: float = 1.0) -> None:
    batch = Batch(1)
    batch.append(Kind.TRADE, 0, at_us=at_us, received_us=at_us, price=price, amount=1.0, side=BUY, key=at_us)
    made.apply(batch, 0)


def is_known(made: Kernel, at_us: int) -> bool:
    value = made.values(0, at_us)[0]
    return not isnan(value)


WAITS = re.compile(r"ready in ((?:\d+ d ?)?(?:\d+ h ?)?(?:\d+ m ?)?(?:[\d.]+ s)?)")


def waited_us(text: str) -> int:
    found = WAITS.search(text)
    assert found is not None, text
    units = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
    return round(sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+) ([dhms])", found[1])) * S)


@pytest.mark.parametrize("seconds", [5, 60, 299, 300])
@pytest.mark.parametrize("has", [1, 3, 4])
def test_a_short_window_is_known_after_as_long_as_it_says(seconds: int, has: int) -> None:
    made = kernel(Leaf("volume", (seconds * S,)))
    for second in range(has + 1):
        trade(made, T0 + second * S)
    text = lacking(made, 0, T0 + has * S, 0)
    assert f"only {has} s of {lasting(seconds * S)} covered" in text
    ready_us = T0 + has * S + waited_us(text)
    trade(made, ready_us - S // 2)
    assert not is_known(made, ready_us)
    trade(made, ready_us)
    assert is_known(made, ready_us)


def test_a_long_window_is_known_at_90_percent() -> None:
    made = kernel(Leaf("volume", (1000 * S,)))
    for second in range(101):
        trade(made, T0 + second * S)
    text = lacking(made, 0, T0 + 100 * S, 0)
    assert text == "only 1 m 40 s of 16 m 40 s covered: ready in 13 m 20 s (90 % are enough)"
    trade(made, T0 + 899 * S)
    assert not is_known(made, T0 + 899 * S)
    trade(made, T0 + 900 * S)
    assert is_known(made, T0 + 900 * S)


def test_time_counts_though_nothing_arrives() -> None:
    made = kernel(Leaf("volume", (60 * S,)))
    trade(made, T0 + S)
    assert lacking(made, 0, T0 + 41 * S, 0) == "only 41 s of 1 m covered: ready in 19 s"
    assert lacking(made, 0, T0 + 90 * S, 0) == "covered: ready with the next event"


def test_a_gap_is_named_with_its_age() -> None:
    made = kernel(Leaf("volume", (60 * S,)))
    trade(made, T0 + 100 * S)
    tell(made, T0 + 110 * S, Status.LOST)
    assert lacking(made, 0, T0 + 115 * S, 0) == "the stream of trades is lost for 5 s"
    tell(made, T0 + 120 * S, Status.LIVE)
    trade(made, T0 + 130 * S)
    assert lacking(made, 0, T0 + 130 * S, 0) == "only 10 s of 1 m covered since a gap 10 s ago: ready in 50 s"


def test_a_baseline_says_how_much_it_has_seen() -> None:
    made = kernel(Leaf("high_rush", (10 * S, "buy")))
    for second in range(0, 301, 5):
        trade(made, T0 + second * S)
    found = re.fullmatch(r"its baseline has seen (\d+) of 80 stretches of 10 s", lacking(made, 0, T0 + 300 * S, 0))
    assert found is not None
    assert 28 <= int(found[1]) <= 30


def test_a_stream_that_does_not_exist_is_absent() -> None:
    made = kernel(Leaf("spread"), streams=STREAMS)
    assert lacking(made, 0, T0, 0) == "absent: there is no stream of the book"


_ARGUMENTS = {Type.DURATION: 60 * S, Type.RATIO: 0.002, Type.NUMBER: 1000.0}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
@pytest.mark.parametrize("streams", [frozenset(), STREAMS, frozenset({"trades", "book", "peers"})], ids=len)
def test_every_field_says_something(field: object, streams: frozenset[str]) -> None:
    arguments = tuple(
        argument.choices[0] if argument.choices else _ARGUMENTS[argument.type]
        for argument in field.arguments  # type: ignore[attr-defined] # a row of the table
    )
    made = kernel(Leaf(field.name, arguments), streams=streams)  # type: ignore[attr-defined] # likewise
    trade(made, T0 + S)
    text = lacking(made, 0, T0 + S, 0)
    assert text
    assert not text.endswith((" ", ":"))


@pytest.mark.parametrize(
    ("us", "down", "up"),
    [
        (0, "0 s", "0 s"),
        (400_001, "0.4 s", "0.5 s"),
        (9_960_000, "9.9 s", "10 s"),
        (59_000_001, "59 s", "1 m"),
        (3_599_999_999, "59 m 59 s", "1 h"),
        (90_061 * S, "1 d 1 h", "1 d 2 h"),
        (59.2 * S, "59 s", "1 m"),
        (-5, "0 s", "0 s"),
    ],
)
def test_what_has_passed_is_rounded_down_and_what_is_to_come_up(us: float, down: str, up: str) -> None:
    assert (lasting(us), lasting(us, is_up=True)) == (down, up)
