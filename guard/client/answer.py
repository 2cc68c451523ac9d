"""From a published state to the answer for one order: pure arithmetic, no clock, no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.model.clearance import Clearance, ClearanceStatus, Intent, Mode
from guard.model.market import DataState, Market
from guard.model.quarantine import Block

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.client.payload import PublishedBlock, Snapshot

__all__ = ["ON_UNKNOWN", "Answer", "Question", "answer", "intent_of", "policy_of"]

FOREVER_NS = 1 << 62
# Guard itself tells what follows a hold that calm must end; until it has, the hold stands.
HANDOVER_NS = 1_000_000_000
ON_UNKNOWN: Mapping[str, bool] = {"guard_silent": False, "feed_stale": False, "warming": True, "not_watched": True}
_EXITS = frozenset({Intent.REDUCE, Intent.CLOSE, Intent.HEDGE})
_LIVE = frozenset({DataState.OK, DataState.NEW, DataState.DEGRADED})


class Question(NamedTuple):
    """What is asked, and when.

    `now_ns` is the boot clock, `wall_us` the wall clock at the same moment. `is_fresh`: guard proved to live within its lease.
    `compares_clocks`: the snapshot's boot clock is this process's; else ends are taken from the wall clock. `bypass_end_ns` is the
    end of a bypass on the boot clock, 0 where there is none. `policy` tells which reasons of unknown permit.
    """

    market: Market
    intent: Intent
    now_ns: int
    wall_us: int
    is_fresh: bool
    compares_clocks: bool
    policy: Mapping[str, bool]
    bypass_end_ns: int = 0


class Answer(NamedTuple):
    """A clearance without its age, good until `expires_ns` of the boot clock."""

    clearance: Clearance
    expires_ns: int


class _Finding(NamedTuple):
    status: ClearanceStatus
    reason: str
    holder: PublishedBlock | None = None


def intent_of(symbol: str, side: str | None, intent: str | None) -> Intent:
    """Return what an order does: None means that selling spot closes and everything else opens.

    Raises ValueError for an intent that does not exist.

    Examples
    --------
    >>> intent_of("BTC/USDT", "sell", None), intent_of("BTC/USDT:USDT", "sell", None)
    (<Intent.CLOSE: 'close'>, <Intent.OPEN: 'open'>)
    """
    if intent is not None:
        return Intent(intent.lower())
    return Intent.CLOSE if side is not None and side.lower() == "sell" and ":" not in symbol else Intent.OPEN


def policy_of(snapshot: Snapshot | None, bot: str | None) -> Mapping[str, bool]:
    """Return which reasons of unknown permit for `bot`: its own policy over that of ``*`` over the defaults."""
    published = {} if snapshot is None else snapshot.on_unknown
    return {**ON_UNKNOWN, **published.get("*", {}), **(published.get(bot, {}) if bot else {})}


def answer(snapshot: Snapshot | None, question: Question) -> Answer:
    """Return what guard says of one order.

    Blocks come first: an unexpired one stands even while guard is silent. Then whatever makes guard not know; then shrink; then
    allowed. Reduce, close and hedge are always permitted, in full size.
    """
    if snapshot is None:
        unknown = _Finding(ClearanceStatus.UNKNOWN, "guard_silent")
        return Answer(_clearance(unknown, question, mode=Mode.ENFORCE, fraction=1.0), _expiry(question, ()))
    ends = {block: _end_ns(snapshot, block, question) for block in snapshot.covering(question.market)}
    standing = tuple(block for block, end_ns in ends.items() if end_ns > question.now_ns)
    view = snapshot.markets.get(str(question.market)) or snapshot.unreached.get(question.market.exchange)
    fraction = min((block.max_fraction for block in standing if block.block is Block.SHRINK), default=1.0)
    clearance = _clearance(_find(view, standing, question), question, mode=snapshot.mode, fraction=fraction)
    clearance = clearance._replace(epoch=snapshot.epoch, seq=snapshot.seq, durable=snapshot.durable)
    if view is not None:
        data, level, _, active, expected = view[:5]
        clearance = clearance._replace(data=data, level=clearance.level or level, rules_active=active, rules_expected=expected)
    return Answer(clearance, _expiry(question, tuple(ends[block] for block in standing)))


def _find(view: list[Any] | None, standing: tuple[PublishedBlock, ...], question: Question) -> _Finding:
    if blocking := _strongest(standing, Block.ENTRIES):
        return _Finding(ClearanceStatus.BLOCKED, blocking.reason, blocking)
    unknown = _unknown(view, is_fresh=question.is_fresh)
    shrinking = _strongest(standing, Block.SHRINK)
    # A permitted unknown is weaker than a known limit, a refused one stronger.
    if unknown and not (shrinking and unknown in {"warming", "not_watched"} and question.policy[unknown]):
        return _Finding(ClearanceStatus.UNKNOWN, unknown, shrinking)
    if shrinking:
        return _Finding(ClearanceStatus.SHRINK, shrinking.reason, shrinking)
    is_degraded = view is not None and view[0] == DataState.DEGRADED
    return _Finding(ClearanceStatus.ALLOWED, "warming" if is_degraded else "")


def _strongest(standing: tuple[PublishedBlock, ...], kind: Block) -> PublishedBlock | None:
    return max((block for block in standing if block.block is kind), key=lambda block: (block.until_us, block.id), default=None)


def _unknown(view: list[Any] | None, *, is_fresh: bool) -> str | None:
    if not is_fresh:
        return "guard_silent"
    if view is None:
        return "not_watched"
    if view[0] == DataState.WARMING:
        return "warming"
    # A state that this client does not know counts as bad data.
    return None if view[0] in _LIVE else "feed_stale"


def _clearance(finding: _Finding, question: Question, *, mode: Mode, fraction: float) -> Clearance:
    status, reason, holder = finding
    is_exit = question.intent in _EXITS
    is_refused = status is ClearanceStatus.BLOCKED or (status is ClearanceStatus.UNKNOWN and not question.policy[reason])
    is_bypassed = question.bypass_end_ns > question.now_ns
    binds = mode is Mode.ENFORCE and not is_bypassed and not is_exit
    return Clearance(
        status=status,
        permitted=not (is_refused and binds),
        would_block=is_refused and not is_exit,
        reason=reason,
        rule=holder.rule if holder else None,
        level=holder.level if holder else None,
        quarantine_id=holder.id if holder else None,
        until_us=holder.until_us if holder else None,
        max_fraction=fraction if binds and status is not ClearanceStatus.BLOCKED else 1.0,
        bypassed=is_bypassed,
    )


def _end_ns(snapshot: Snapshot, block: PublishedBlock, question: Question) -> int:
    if question.compares_clocks and snapshot.boot_ns <= question.now_ns:
        end_ns = snapshot.boot_ns + (block.until_us - snapshot.wall_us) * 1000
    else:
        end_ns = question.now_ns + (block.until_us - question.wall_us) * 1000
    return end_ns if block.is_timed else end_ns + HANDOVER_NS


def _expiry(question: Question, ends: tuple[int, ...]) -> int:
    bypass = (question.bypass_end_ns,) if question.bypass_end_ns > question.now_ns else ()
    return min((*ends, *bypass), default=FOREVER_NS)
