from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.api.server import OperatorServer
from guard.client import Guard
from guard.dsl import load_guard
from guard.errors import StateError
from guard.model import AddQuarantine, Decision, Target, TargetKind
from guard.model.bot import NEW_US
from guard.quarantine import IsolationManager
from guard.runtime.opening import Opening
from guard.runtime.watchlist import Watchlist

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import GuardConfig


@pytest.fixture
def config(tmp_path: Path) -> GuardConfig:
    (tmp_path / "guard.yaml").write_text(
        "version: 1\nmode: enforce\nrules: [guard:pump_dump]\nexchanges: {sim: {markets: ['*/USDT']}}\n"
    )
    return load_guard(tmp_path / "guard.yaml", {})


async def test_a_start_shows_blocks_and_does_not_call_unwatched_markets_warm(tmp_path: Path, config: GuardConfig) -> None:
    state = tmp_path / "state"
    async with Opening(config, state) as opening:
        command = AddQuarantine(Target(TargetKind.MARKET, "sim:A/USDT"), 10**9, "news", "ann")
        now_us = opening.clock.now_us()
        held = IsolationManager().operate(command, now_us)
        await opening.store.commit([Decision(now_us, transitions=held)], epoch=opening.ledger.epoch)
        Watchlist(state / "caches" / "watched.json").remember(["sim:A/USDT", "sim:B/USDT"])
    async with Opening(config, state):
        bot = Guard(state)
        assert bot.check("sim", "A/USDT", "buy").status == "blocked"
        free = bot.check("sim", "B/USDT", "buy")
        # A guard that ends here and is started again and again would else permit everything and watch nothing.
        assert (free.reason, free.permitted) == ("feed_stale", False)
    # A bot that asked a moment ago may keep its answer for some milliseconds.
    bot = Guard(state)
    assert bot.check("sim", "A/USDT", "buy").status == "blocked"
    assert bot.check("sim", "B/USDT", "buy").reason == "guard_silent"


async def test_a_refused_new_listing_is_refused_from_the_first_publication_after_a_restart_on(tmp_path: Path) -> None:
    (tmp_path / "guard.yaml").write_text(
        "version: 1\nmode: enforce\nrules: [guard:pump_dump]\nexchanges: {sim: {markets: ['*/USDT']}}\n"
        "bots: {grid: {new_listings: refuse, on_unknown: {feed_stale: permit}}, slow: {new_listings: refuse 1h}}\n"
    )
    config, state = load_guard(tmp_path / "guard.yaml", {}), tmp_path / "state"
    async with Opening(config, state) as opening:
        listed_us = opening.clock.now_us() - 7_200_000_000
        opening.watchlist.remember(["sim:NEW/USDT", "sim:OLD/USDT"], {"sim:NEW/USDT": listed_us + NEW_US})
    async with Opening(config, state) as opening:
        new = Guard(state, bot="grid").check("sim", "NEW/USDT", "buy")
        assert (new.status, new.reason, new.permitted, new.until_us) == ("blocked", "new_listing", False, listed_us + NEW_US)
        assert Guard(state, bot="grid").check("sim", "NEW/USDT", "sell").permitted
        assert Guard(state, bot="grid").check("sim", "OLD/USDT", "buy").permitted
        # An hour is over for the other bot: for it nothing but the data counts.
        assert Guard(state, bot="slow").check("sim", "NEW/USDT", "buy").reason == "feed_stale"


async def test_a_guard_whose_lock_was_deleted_is_not_ended_by_a_second_one(tmp_path: Path, config: GuardConfig) -> None:
    state = tmp_path / "state"
    async with Opening(config, state) as first, OperatorServer(state / "operator.sock", {}):
        (state / "lock").unlink()
        with pytest.raises(StateError, match="another guard answers"):
            async with Opening(config, state):
                pass
        # Neither its ledger nor its snapshot was taken from it.
        await first.store.commit([], epoch=first.ledger.epoch)
        first.publisher.beat()
        first.publisher.publish(first._remembered(), epoch=1, seq=1, durable=True)


async def test_a_ledger_that_lost_its_log_does_not_free_what_bots_see_blocked(tmp_path: Path, config: GuardConfig) -> None:
    state = tmp_path / "state"
    async with Opening(config, state) as opening:
        command = AddQuarantine(Target(TargetKind.MARKET, "sim:A/USDT"), 10**9, "news", "ann")
        now_us = opening.clock.now_us()
        held = IsolationManager().operate(command, now_us)
        seq = await opening.store.commit([Decision(now_us, transitions=held)], epoch=opening.ledger.epoch)
        blocks = tuple(transition.quarantine for transition in held)
        image = opening._remembered()._replace(blocks=blocks)
        opening.publisher.publish(image, epoch=opening.ledger.epoch, seq=seq, durable=True)
    for file in state.glob("ledger.sqlite*"):
        file.unlink()
    with pytest.raises(StateError, match=r"is gone\. Nothing was changed.*cannot be rebuilt.*guard ledger restore --empty"):
        async with Opening(config, state):
            pass
    assert Guard(state).check("sim", "A/USDT", "buy").status == "blocked"
    (state / "snapshot" / "guard.snapshot").unlink()
    async with Opening(config, state):
        assert Guard(state).check("sim", "A/USDT", "buy").status == "unknown"
