"""What an exchange says of a watched market reaches rules and people, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import Level, Market, MarketFacts
from guard.runtime.treatment_watch import TreatmentWatch

if TYPE_CHECKING:
    from pathlib import Path

A, B = Market("k", "A/USDT"), Market("k", "B/USDT")


class World:
    def __init__(self, path: Path) -> None:
        self.open: dict[Market, MarketFacts] = {}
        self.told: list[tuple[str, str, Level]] = []
        self.keys: list[str] = []
        self.now_us = 0
        self.watch = TreatmentWatch(
            "k", opened=self.open.get, treat=self.treat, announce=self.announce, now_us=lambda: self.now_us, kept=path / "t.json"
        )

    def treat(self, facts: MarketFacts) -> None:
        self.open[facts.market] = facts

    def announce(self, key: str, title: str, body: str, level: Level) -> None:
        self.keys.append(key)
        self.told.append((title, body.split("\n", maxsplit=1)[0], level))

    def see(self, *offered: MarketFacts, watched: tuple[Market, ...] = (A, B)) -> None:
        self.now_us += 1
        self.watch(offered, [MarketFacts(market) for market in watched])
        for facts in offered:
            if facts.market in watched:
                self.open.setdefault(facts.market, facts)


def facts(market: Market, *tags: str, risk: float | None = 0.0, ends_us: int | None = None) -> MarketFacts:
    return MarketFacts(market, tags=frozenset(tags), listing_risk=risk, ends_us=ends_us)


def test_a_change_is_told_once_and_reaches_the_pipeline(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.see(facts(A), facts(B))
    assert world.told == []
    for _ in range(3):
        world.see(facts(A, "delisting", risk=1.0, ends_us=1_700_000_000_000_000), facts(B))
    assert world.told == [("k: A/USDT is to be delisted", "A/USDT: trading ends 2023-11-14T22:13Z", Level.DANGER)]
    assert (world.open[A].tags, world.open[A].listing_risk) == (frozenset({"delisting"}), 1.0)
    assert world.open[B].tags == frozenset()


def test_changes_of_one_kind_are_one_message(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.see(facts(A), facts(B))
    world.see(facts(A, "halted"), facts(B, "halted"))
    assert world.told == [("k: 2 markets are halted", "A/USDT", Level.WARNING)]


def test_a_market_that_is_halted_trades_again_and_is_halted_again_is_told_each_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    for tags in ((), ("halted",), (), ("halted",)):
        world.see(facts(A, *tags))
    assert [title for title, _, _ in world.told] == ["k: A/USDT is halted", "k: A/USDT is trading again", "k: A/USDT is halted"]
    assert len(set(world.keys)) == 3


def test_what_changed_while_guard_was_down_is_told_at_the_start(tmp_path: Path) -> None:
    World(tmp_path).see(facts(A))
    world = World(tmp_path)
    world.see(facts(A, "st", risk=0.7))
    assert [title for title, _, _ in world.told] == ["k: A/USDT is under special treatment"]


def test_nobody_is_told_of_what_is_not_watched_or_was_so_from_the_first(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.see(facts(A, "st"), facts(B), watched=(A,))
    world.see(facts(A, "st"), facts(B, "delisting"), watched=(A,))
    assert world.told == []


def test_a_market_that_the_exchange_no_longer_lists_is_as_it_was(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.see(facts(A), facts(B))
    world.watch([facts(A)], [facts(A), facts(B)])
    assert world.told == []


def test_many_markets_make_a_message_of_bounded_length(tmp_path: Path) -> None:
    world = World(tmp_path)
    markets = [Market("k", f"C{number}/USDT") for number in range(99)]
    bodies: list[str] = []
    world.watch._announce = lambda _key, _title, body, _level: bodies.append(body)
    world.watch([facts(market) for market in markets], [facts(market) for market in markets])
    halted = [facts(market, "halted") for market in markets]
    world.watch(halted, halted)
    assert len(bodies[0].split("\n")) < 20
