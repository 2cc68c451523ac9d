"""Random maintenance, announced and told, and random tags, while random rules are edited, saved and restored."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from engine.test_random_reloads import JITTED, Edits, Life
from engine.test_random_rules import MARKETS, TARGETS, S, always_asked

from guard.engine import health
from guard.errors import OperationRefused
from guard.model import AddMaintenance, Channel, EndMaintenance, Kind, Status, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.pipeline import Pipeline
    from guard_sim import tape

CLOSABLE = [TARGETS[0], TARGETS[3], Target(TargetKind.EXCHANGE, "one"), Target(TargetKind.MARKET, "one:BBB/USDT")]
SCOPES = ["", "", "scope: {tags: [st]}", "scope: {where: 'not default(market.listing_risk > 0.5, false)'}"]


class Closings(Edits):
    """Rules that look at tags, too, and exchanges that say of some channels that they are in maintenance, and send on."""

    def rule(self, name: str) -> str:
        return super().rule(name).replace("    level: ", f"    {self.of(SCOPES)}\n    level: ", 1)

    def rows(self, count: int) -> list[tape.Row]:
        found = []
        for row in super().rows(count):
            found.append(row)
            if self.share() < 0.04 and not (row.kind == Kind.LEVEL and row.flags != 3):
                channel = self.of([Channel.ALL, Channel.ALL, Channel.TRADES, Channel.BOOK])
                status = self.of([Status.MAINTENANCE, Status.LIVE, Status.LIVE, Status.LOST])
                for market in self.of([[0], [1], [2], [0, 1], [0, 1, 2]]):
                    told = row._replace(kind=Kind.STATUS, market=market, price=0.0, amount=0.0, side=channel, key=status, flags=0)
                    found.append(told)
        return found


class ClosedLife(Life):
    """One pipeline from its first event to its last, with maintenance and tags that change."""

    def __init__(self, seed: int, prepare: Callable[[Pipeline], None] = lambda _: None, *, jit: bool = False) -> None:
        self._numbers = count()
        super().__init__(seed, prepare, jit=jit)

    @staticmethod
    def made(seed: int) -> Edits:
        return Closings(seed)

    def order(self, chance: float) -> None:
        super().order(chance)
        choices, now_us = self.choices, self.pipeline.now_us
        if 0.5 < chance < 0.6:
            from_us = now_us + int(S * choices.of([-5, 0, 1, 3]))
            until_us = from_us + int(S * choices.of([1, 4, 12]))
            self.person(AddMaintenance(choices.of(CLOSABLE), from_us, until_us, f"{next(self._numbers)}", "ann"))
        elif 0.6 < chance < 0.65:
            self.person(EndMaintenance(choices.of(CLOSABLE), None, "over", "ann"))
        elif 0.65 < chance < 0.8:
            facts = choices.of(MARKETS)
            tags, risk = frozenset(choices.of(["", "st", "x"]).split()), choices.of([None, 0.2, 0.9])
            self.take(self.pipeline.treat(facts.market, tags, risk, now_us))
            self.prepare(self.pipeline)

    def person(self, command: AddMaintenance | EndMaintenance) -> None:
        try:
            self.take(self.pipeline.operate(command, self.pipeline.now_us))
        except OperationRefused as error:
            self.told.append(str(error).partition(" (")[0])


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SETTLE_US", 4 * S)


@pytest.mark.parametrize("jit", JITTED)
@pytest.mark.parametrize("seed", range(2))
def test_closed_and_tagged_markets_decide_the_same_where_rules_are_asked_always(seed: int, *, jit: bool) -> None:
    assert ClosedLife(seed, jit=jit).run() == ClosedLife(seed, always_asked).run()


@pytest.mark.parametrize("seed", range(9, 12))
def test_neither_restarts_nor_looks_nor_cuts_change_what_is_decided_of_them(seed: int) -> None:
    told = ClosedLife(seed).run(views=False)
    assert ClosedLife(seed).run(views=False, cut=1) == told
    assert set(told) <= set(ClosedLife(seed).run())
    assert ClosedLife(seed).run(views=False, restores=False) == told
