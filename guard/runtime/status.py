"""The status document: what the board, ``guard status`` and the operator's socket show."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from guard import __version__
from guard.client.bypass import read_bypass
from guard.client.clock import MACHINE
from guard.model.moments import stamp
from guard.runtime.board import group_records
from guard.runtime.maintenance import maintenance_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.alerts.outbox import ChannelHealth
    from guard.features.kernel import Kernel
    from guard.model import Quarantine
    from guard.runtime.feed import Feed
    from guard.runtime.live import Live
    from guard.runtime.market_records import MarketRecords
    from guard.runtime.rulebook import Rulebook
    from guard.runtime.selection import Chosen

__all__ = ["inlet_record", "keeper_record", "markets_record", "quarantine_record", "rules_record", "status_document"]

_DROPS_MAX = 10
_UNWATCHED_MAX = 200
_ALIVE = (
    "closed",
    "stalls",
    "refuted",
    "resubscribed",
    "holes_in_ids",
    "repaired",
    "audits",
    "overlooked",
    "clock_offset_us",
    "gap_seconds",
)


def status_document(
    live: Live,
    rulebook: Rulebook,
    *,
    bypass_path: str,
    outbox: Mapping[str, Mapping[str, int]],
    markets: MarketRecords,
    clock_jump_us: int,
) -> dict[str, Any]:
    """Return all a person asks of a running guard, JSON-able.

    `outbox` are deliveries by channel and state, `markets` what was made in slices, `clock_jump_us` how far the machine's clock
    was set since guard started.
    """
    now_us = live.clock.now_us()
    feeds = [feed_record(feed, now_us) for feed in live.feeds]
    ages = [feed["age_ms"] for feed in feeds if feed["age_ms"] is not None]
    bypass, _ = read_bypass(bypass_path, MACHINE)
    return {
        "version": __version__,
        "mode": str(live.pipeline.settings.mode),
        "uptime_s": round((now_us - live.started_us) / 1e6, 1),
        "watched": len(markets.markets),
        "ready": markets.ready,
        "events": live.inlet.received,
        "events_per_second": round(live.events_per_second, 1),
        "feed_age_ms": max(ages, default=None),
        "epoch": live.epoch,
        "seq": live.seq,
        "durable": live.is_durable,
        "lag_max_ms": live.lag_max_us // 1000,
        "clock_jump_ms": round(clock_jump_us / 1000),
        "console_failures": live.console_failures,
        "engine": {"form": _form(live.pipeline.engine.kernel), "problem": live.engine_problem},
        "rules": rules_record(rulebook),
        "bypass": None if bypass is None else {"until": stamp(bypass.until_us), "reason": bypass.reason, "actor": bypass.actor},
        "upgrade": rulebook.upgrade.record(),
        "detectors": live.detectors.records(),
        "heartbeat": live.vigil.record(),
        "inlet": inlet_record(live),
        "kept": keeper_record(live, now_us),
        "feeds": feeds,
        "bots": live.bot_watch.record(),
        "outbox": {channel: dict(counts) for channel, counts in outbox.items()},
        "actions": live.pipeline.orders.counts,
        "channels": {name: channel_record(health) for name, health in live.outbox.health().items()},
        "maintenance": maintenance_records(live),
        "quarantines": [quarantine_record(held) for held in live.pipeline.isolation.active()],
        "groups": group_records(live.pipeline),
        "market_wide": live.pipeline.desk.records(),
        "nearest": markets.nearest,
        "markets": markets.markets,
    }


def rules_record(rulebook: Rulebook) -> dict[str, Any]:
    """Return which rules run, what is wrong with those on the disk, how changes are noticed, and what came of them so far."""
    return {
        "active": rulebook.active,
        "hash": rulebook.program.hash,
        "problem": rulebook.problem,
        "errors": [problem._asdict() for problem in rulebook.problems],
        "watch": rulebook.way(),
        "reloads": rulebook.counts.record(),
    }


def inlet_record(live: Live) -> dict[str, Any]:
    """Return how well guard keeps up: what waits, what was dropped since the start, and of which markets."""
    inlet = live.inlet
    shedder = inlet.shedder
    worst = (shedder.books + shedder.trades).most_common(_DROPS_MAX)
    names = [watched.facts.market for watched in live.pipeline.engine.watched]
    return {
        "waiting": inlet.waiting,
        "wait_max_ms": inlet.wait_max_us // 1000,
        "book_rows_dropped": shedder.books.total(),
        "trades_dropped": shedder.trades.total(),
        "books_unknown": len(shedder.holes),
        "markets": {str(names[row]): {"book": shedder.books[row], "trades": shedder.trades[row]} for row, _ in worst},
    }


def keeper_record(live: Live, now_us: int) -> dict[str, Any] | None:
    """Return what the start took over from the last run and what is kept for the next; None where nothing is kept."""
    if live.keeper is None:
        return None
    health = live.keeper.health
    return {
        "restored_markets": health.restored,
        "restored_age_s": None if health.restored_age_us is None else round(health.restored_age_us / 1e6, 1),
        "refused": health.refused,
        "markets": health.markets,
        "bytes": health.bytes,
        "age_s": None if health.written_us is None else round((now_us - health.written_us) / 1e6, 1),
        "failures": health.failures,
        "pause_max_ms": health.pause_max_us / 1000,
    }


def quarantine_record(held: Quarantine) -> dict[str, Any]:
    """Return a quarantine as commands show it."""
    return {
        "id": held.id,
        "target": str(held.target),
        "state": str(held.state),
        "block": str(held.block),
        "rule": held.hold.rule,
        "level": str(held.hold.level),
        "reason": held.hold.reason,
        "opened": stamp(held.opened_us),
        "until": stamp(held.until_us),
        "latest": stamp(held.last_end_us),
        "actor": held.actor,
        "market": None if held.hold.market is None else str(held.hold.market),
        "zone": held.hold.zone,
        "repetition": held.repetition,
    }


def channel_record(health: ChannelHealth) -> dict[str, Any]:
    """Return how an alert channel fares since the start."""
    return {
        "failing": health.is_failing,
        "delivered": health.delivered,
        "failed": health.failed,
        "dead": health.dead,
        "error": health.error or None,
    }


def feed_record(feed: Feed, now_us: int) -> dict[str, Any]:
    """Return how a feed fares."""
    health = feed.connector.health()
    details = health.details or {}
    notes = list(health.notes)
    if feed.trouble:
        notes.insert(0, feed.trouble)
    if feed.left_out:
        notes.append(f"{feed.left_out} more markets match; max_markets is {feed.plan.markets_max}")
    if feed.is_streaming and feed.unwarmed:
        name, why = next(iter(feed.warming.missing.items()))
        notes.append(f"no history yet for {len(feed.unwarmed)} of {len(feed.rows)} markets: {name}: {why}")
    return {
        "exchange": feed.plan.name,
        "streaming": feed.is_streaming,
        "failures": feed.failures,
        "problem": feed.trouble,
        "age_ms": None if health.last_event_us is None else max(0, now_us - health.last_event_us) / 1000,
        "received": health.received,
        "rejected": dict(health.rejected),
        "bad_frames": health.bad_frames,
        "reconnects": health.reconnects,
        "gaps": health.gaps,
        "gap_seconds": round(health.gap_seconds, 3),
        "alive": {name: value for name, value in (health.details or {}).items() if name in _ALIVE},
        "connections": dict(health.connections),
        **{name: details[name] for name in ("tier", "frames", "fallbacks") if name in details},
        "rest": details.get("rest"),
        "notes": notes,
        "markets": markets_record(feed.chosen, None if feed.bots is None else feed.bots.problem, feed.asked()),
    }


def markets_record(chosen: Chosen, bot_problem: str | None, asked: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return what of an exchange is watched, what is left out and why, and what bots trade, or asked about, that nobody watches."""
    unwatched = chosen._replace(traded=chosen.traded | asked).unwatched
    return {
        "offered": len(chosen.markets) + len(chosen.reasons),
        "watched": len(chosen.markets),
        "left_out": dict(Counter(chosen.reasons.values()).most_common(_DROPS_MAX)),
        "traded": len(chosen.traded),
        "asked": len(asked),
        "unwatched": dict(list(unwatched.items())[:_UNWATCHED_MAX]),
        "bot_problem": bot_problem,
    }


def _form(kernel: Kernel) -> str:
    """Return in which form the kernel runs: jitted, built ahead of time, or in Python."""
    if kernel.is_jitted:
        return "compiled"
    return "plain" if kernel.needs_screens else "built"
