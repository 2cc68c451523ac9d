"""Freqtrade's locks: what becomes one, for whom and until when, and that those of others are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from client.images import MINUTE, START_US, image, quarantine, view

from guard.api.locks import Lock, locks_of, plan_of
from guard.client.payload import decode, encode
from guard.model import Block, BotPolicy, ListingAnswer, Mode, NewListings, TargetKind

if TYPE_CHECKING:
    from guard.model import Image

UNTIL_US = START_US + 30 * MINUTE
REASON = "guard:aabbccddeeff:pump_dump"
HELD = Lock("X/USDT", "*", UNTIL_US, REASON)
PAIRS = ("X/USDT", "Y/USDT")


def locks(state: Image, *pairs: str, bot: str | None = None, now_us: int = START_US, **words: int) -> tuple[Lock, ...]:
    said = decode(encode(state, epoch=1, seq=1, durable=True, wall_us=START_US, boot_ns=0, boot_id=""))
    return locks_of(said, "sim", pairs or PAIRS, bot=bot, now_us=now_us, **words)


def standing(number: int, lock: Lock, *, over_us: int = 0) -> dict[str, Any]:
    end_ms = (lock.until_us + over_us) // 1000
    return {"id": number, "pair": lock.pair, "side": lock.side, "reason": lock.reason, "lock_end_timestamp": end_ms}


def test_a_blocked_pair_of_the_bot_is_a_lock_until_the_block_ends() -> None:
    assert locks(image(quarantine())) == (HELD,)
    assert locks(image(quarantine()), "Y/USDT") == ()
    assert locks(image(quarantine()), now_us=UNTIL_US + 1) == ()


def test_an_asset_locks_every_spelling_that_the_bot_trades_watched_or_not() -> None:
    held = quarantine("PEPE", kind=TargetKind.BASE)
    found = locks(image(held), "PEPE/USDT", "1000PEPE/USDT:USDT", "PEPE/EUR", "Y/USDT")
    assert [lock.pair for lock in found] == ["1000PEPE/USDT:USDT", "PEPE/EUR", "PEPE/USDT"]


def test_a_pause_of_the_exchange_is_one_lock_and_a_longer_block_another() -> None:
    pause = quarantine("sim", kind=TargetKind.EXCHANGE, identity="00000000000a", rule="market_wide", until_us=START_US + MINUTE)
    assert locks(image(pause)) == (Lock("*", "*", START_US + MINUTE, "guard:00000000000a:market_wide"),)
    assert [lock.pair for lock in locks(image(pause, quarantine()))] == ["*", "X/USDT"]


def test_what_a_lock_cannot_say_is_none() -> None:
    shrunk = quarantine(block=Block.SHRINK)
    assert locks(image(shrunk, markets={"sim:X/USDT": view("stale")})) == ()


@pytest.mark.parametrize(
    "state",
    [
        image(quarantine(), mode=Mode.OBSERVE),
        image(quarantine(), mode=Mode.ALERT),
        image(quarantine(), bots={"mine": BotPolicy(mode=Mode.OBSERVE)}),
        image(quarantine(), bots={"mine": BotPolicy(exchanges=("other",))}),
        image(quarantine(), bots={"mine": BotPolicy(rules=("other",))}),
    ],
)
def test_where_the_bot_would_be_permitted_there_is_no_lock(state: Image) -> None:
    assert locks(state, bot="mine") == ()


def test_a_new_listing_that_the_bots_policy_refuses_is_locked_until_it_is_old_enough() -> None:
    listings = NewListings(ListingAnswer.REFUSE, for_us=24 * 60 * MINUTE)
    listed = view()._replace(listed_until_us=START_US + 71 * 60 * MINUTE)
    state = image(markets={"sim:X/USDT": listed, "sim:Y/USDT": view()}, bots={"mine": BotPolicy(new_listings=listings)})
    assert locks(state, bot="mine") == (Lock("X/USDT", "*", START_US + 23 * 60 * MINUTE, "guard:-:new_listing"),)
    assert locks(state) == ()


def test_a_bypass_leaves_no_lock() -> None:
    assert locks(image(quarantine()), is_bypassed=True) == ()


@pytest.mark.parametrize(("side", "locked"), [("buy", "long"), ("sell", "short")])
def test_a_bot_held_back_on_one_side_is_locked_there(side: str, locked: str) -> None:
    state = image(quarantine(), bots={"mine": BotPolicy(sides=(side,))})
    assert [lock.side for lock in locks(state, bot="mine")] == [locked]


def test_the_end_is_by_the_wall_clock_that_the_bot_reads() -> None:
    assert locks(image(quarantine()), ahead_us=86_400_000_000)[0].until_us == UNTIL_US + 86_400_000_000
    assert HELD.payload()["until"] == "2027-01-15T08:30:00+00:00"


def test_what_stands_rightly_is_left_alone_and_of_others_everything() -> None:
    mine = standing(1, HELD, over_us=MINUTE)
    others = [{**mine, "id": 2, "reason": "Cooldown"}, {**mine, "id": 3, "reason": None}]
    assert plan_of([HELD], [mine, *others], candle_us=MINUTE) == ((), ())
    assert plan_of([], [mine, *others], candle_us=MINUTE) == ((), (1,))


@pytest.mark.parametrize("over_us", [-10 * MINUTE, 10 * MINUTE])
def test_a_lock_of_another_end_is_replaced(over_us: int) -> None:
    assert plan_of([HELD], [standing(4, HELD, over_us=over_us)], candle_us=MINUTE) == ((HELD,), (4,))


def test_a_second_lock_of_the_same_is_taken_away() -> None:
    """An old Freqtrade writes one for each time it is asked."""
    assert plan_of([HELD], [standing(5, HELD), standing(6, HELD)], candle_us=MINUTE) == ((), (6,))


@pytest.mark.parametrize("bad", [{}, {"id": "x"}, {"id": 1, "reason": "guard:x"}])
def test_what_is_no_lock_raises(bad: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        plan_of([HELD], [bad], candle_us=MINUTE)
