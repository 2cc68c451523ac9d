"""What ``guard doctor`` finds out about exchanges: are they reached, what is watched there, what does a bot trade besides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from guard.model.ports import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from guard.dsl import ExchangeSettings, GuardConfig
    from guard.model.ports import Clock, Connector
    from guard.runtime.bot_list import BotList

__all__ = ["look_at_exchanges", "market_lines", "rate_lines"]

_SHOWN_MAX: Final = 5
_OPEN_S: Final = 90.0


def look_at_exchanges(config: GuardConfig, state: Path, *, has_guard: bool) -> list[Probe]:
    """Try each exchange, and, where no guard runs that knows, see what would be watched there."""
    return asyncio.run(_look(config, state, has_guard=has_guard))


async def _look(config: GuardConfig, state: Path, *, has_guard: bool) -> list[Probe]:
    looks = (_exchange(name, exchange, config, state, has_guard=has_guard) for name, exchange in config.exchanges.items())
    return [found for part in await asyncio.gather(*looks) for found in part]


async def _exchange(name: str, exchange: ExchangeSettings, config: GuardConfig, state: Path, *, has_guard: bool) -> list[Probe]:
    from guard.errors import GuardError
    from guard.runtime.clock import SystemClock, seeded_random
    from guard.runtime.settings import connector_factory
    from guard.runtime.state import StateFolder

    clock = SystemClock()
    try:
        connector = connector_factory(
            name, exchange, state=StateFolder(state), clock=clock, random=seeded_random(), report=lambda _text: None
        )()
    except GuardError as error:
        return [Probe(name, is_well=False, found=str(error), mend="guard config check")]
    # An embedded exchange is a process of this machine: there is nothing to try, and it would have to be started.
    probe: Any = getattr(connector, "probe", None)
    if probe is None:
        return []
    try:
        found = [each._replace(what=f"{name} {each.what}") for each in await probe()]
        if not has_guard and all(each.is_well for each in found if each.what.endswith((" DNS", " REST"))):
            found += await _markets(name, exchange, config, connector, clock, state)
    finally:
        await connector.close()
    return found


async def _markets(  # noqa: PLR0917 - private, of one call
    name: str, exchange: ExchangeSettings, config: GuardConfig, connector: Connector, clock: Clock, state: Path
) -> list[Probe]:
    from guard.errors import GuardError
    from guard.runtime.selection import Selection
    from guard.runtime.settings import feed_plan
    from guard.runtime.status import markets_record

    plan, bots = feed_plan(name, exchange, history_us=0), _bots(name, exchange, config, state, clock)
    if bots is not None:
        await bots.look()
    try:
        async with asyncio.timeout(_OPEN_S):
            offered = await connector.open()
    except (GuardError, TimeoutError) as error:
        return [Probe(f"{name} markets", is_well=False, found=str(error) or "no answer", mend="look at the lines above")]
    traded = () if bots is None else bots.traded(offered, most=plan.markets_max)
    chosen = Selection(plan.wanted).choose(offered, now_us=clock.now_us(), traded=traded)
    return list(market_lines(name, markets_record(chosen, None if bots is None else bots.problem), has_bot=bots is not None))


def _bots(name: str, exchange: ExchangeSettings, config: GuardConfig, state: Path, clock: Clock) -> BotList | None:
    from guard.runtime.bot_list import BotList
    from guard.runtime.state import StateFolder

    if exchange.from_bot is None or exchange.from_bot.freqtrade is None:
        return None
    kept = StateFolder(state).caches / f"bot-{name}.json"
    bot = exchange.from_bot.freqtrade
    return BotList(name, bot, folder=config.folder, kept=kept, clock=clock, announce=lambda *_: None, keeps=False)


def market_lines(name: str, record: Mapping[str, Any], *, has_bot: bool) -> Iterator[Probe]:
    """Yield what is watched of an exchange, what is left out and why, and what a bot trades that nobody watches."""
    found = f"{record['watched']} of {record['offered']} are watched"
    if record["left_out"]:
        found += "; left out: " + _some(f"{count} ({why})" for why, count in record["left_out"].items())
    is_well = record["watched"] > 0
    yield Probe(f"{name} markets", is_well=is_well, found=found, mend=f"look at markets, quotes and where of exchanges.{name}")
    if not has_bot:
        return
    problem = record["bot_problem"]
    yield Probe(
        f"{name} bot",
        problem is None,
        problem or f"trades {record['traded']} markets" + (f", asked about {record['asked']}" if record.get("asked") else ""),
        f"look at from_bot of exchanges.{name}; until then the last list counts",
    )
    unwatched = record["unwatched"]
    what = "all are watched" if not unwatched else "not watched: " + _some(f"{symbol} ({why})" for symbol, why in unwatched.items())
    mend = f"widen markets of exchanges.{name} or its from_bot; until then guard answers not_watched there"
    yield Probe(f"{name} traded markets", not unwatched, what, mend)


def rate_lines(feed: Mapping[str, Any]) -> Iterator[Probe]:
    """Yield how much of its REST budget a running guard uses, where its connector tells."""
    rest = feed.get("rest") or {}
    if not rest:
        return
    paused_s = float(rest.get("paused_s") or 0.0)
    used, share, limit = (f"{float(rest.get(name) or 0):,.0f}" for name in ("used", "share", "limit"))
    told = f"{used} of {share} that guard may use a minute, the exchange allows {limit}"
    if paused_s > 0:
        told += f"; REST rests for {paused_s:.0f} s more"
    mend = "the exchange asked for quiet, or another program on this address uses its quota up: streams go on meanwhile"
    yield Probe(f"{feed['exchange']} rates", paused_s <= 0, told, mend)


def _some(texts: Iterable[str]) -> str:
    found = list(texts)
    return ", ".join(found[:_SHOWN_MAX]) + (f" and {len(found) - _SHOWN_MAX} more" if len(found) > _SHOWN_MAX else "")
