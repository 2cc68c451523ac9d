"""Makes the feeds of a running guard: a connector each, what its bot trades, and who is told of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from guard.features.pasts import knows_past, needed_us
from guard.model import IsolationState
from guard.runtime.bot_list import BotList
from guard.runtime.bots import Bots
from guard.runtime.feed import Feed
from guard.runtime.settings import connector_factory, feed_plan
from guard.runtime.treatment_watch import TreatmentWatch

if TYPE_CHECKING:
    from guard.dsl import ExchangeSettings, GuardConfig
    from guard.model import Level, Market, MarketFacts
    from guard.model.ports import Random
    from guard.runtime.asked import AskedMarkets
    from guard.runtime.live import Live
    from guard.runtime.state import StateFolder

__all__ = ["make_feeds"]

_log = structlog.get_logger(__name__)


def make_feeds(config: GuardConfig, live: Live, *, state: StateFolder, random: Random, asked: AskedMarkets) -> list[Feed]:
    """Return a feed for each exchange of guard.yaml. Raises ConfigurationError where a connector is not installed."""
    return [_feed(name, exchange, config, live, state, random, asked) for name, exchange in config.exchanges.items()]


def _feed(  # noqa: PLR0917 - private, of one call
    name: str,
    exchange: ExchangeSettings,
    config: GuardConfig,
    live: Live,
    state: StateFolder,
    random: Random,
    asked: AskedMarkets,
) -> Feed:
    def report(text: str) -> None:
        _log.warning("connector", exchange=name, note=text)

    def is_held(market: Market) -> bool:
        return live.pipeline.isolation.state_of(market) is not IsolationState.NORMAL

    def opened(market: Market) -> MarketFacts | None:
        row = live.pipeline.engine.markets.get(market)
        return None if row is None else live.pipeline.engine.watched[row].facts

    def treat(facts: MarketFacts) -> None:
        moment_us = min(now := live.clock.now_us(), live.inlet.oldest_us or now)
        try:
            live.take(live.pipeline.treat(facts.market, facts.tags, facts.listing_risk, moment_us))
        except Exception as error:
            # Half of it must not run: guard ends.
            live._break("what an exchange says could not be taken over, guard ends", error)  # noqa: SLF001 - a part of the running guard
            raise

    def announce(key: str, title: str, body: str, level: Level) -> None:
        live.announce(key, title, body, level)

    bots = listed = None
    if exchange.from_bot is not None:
        if exchange.from_bot.freqtrade is not None:
            kept = state.caches / f"bot-{name}.json"
            listed = BotList(
                name, exchange.from_bot.freqtrade, folder=config.folder, kept=kept, clock=live.clock, announce=announce
            )
        bots = Bots(name, listed=listed, asked=asked if exchange.from_bot.asked else None)
    return Feed(
        feed_plan(name, exchange, history_us=needed_us(live.pipeline.engine.program.leaves)),
        connect=connector_factory(name, exchange, state=state, clock=live.clock, random=random, report=report),
        open_market=live.open_market,
        sink=live.inlet,
        clock=live.clock,
        random=random,
        bots=bots,
        asked=lambda: asked.of(name),
        earlier=live.watchlist.markets,
        is_held=is_held,
        has_past=lambda row: knows_past(live.pipeline.engine.kernel, row),
        notice=TreatmentWatch(
            name,
            opened=opened,
            treat=treat,
            announce=announce,
            now_us=live.clock.now_us,
            kept=state.caches / f"treated-{name}.json",
        ),
    )
