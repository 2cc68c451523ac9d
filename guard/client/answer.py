"""From a published state to the answer for one order: pure arithmetic, no clock, no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.client.policies import SIDES, counts
from guard.model.bot import NEW_US, BotPolicy, ListingAnswer
from guard.model.clearance import Clearance, ClearanceStatus, Intent, Mode
from guard.model.market import DataState, Market
from guard.model.quarantine import Block, TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.client.payload import PublishedBlock, Snapshot

__all__ = ["NEW_LISTING", "ON_UNKNOWN", "Answer", "Question", "answer", "intent_of", "policy_of", "standing_blocks"]

FOREVER_NS = 1 << 62
# Guard itself tells what follows a hold that calm must end; until it has, the hold stands.
HANDOVER_NS = 1_000_000_000
ON_UNKNOWN: Mapping[str, bool] = {"guard_silent": False, "feed_stale": False, "warming": True, "not_watched": True}
NEW_LISTING = "new_listing"
_LISTED = 5
_EXITS = frozenset({Intent.REDUCE, Intent.CLOSE, Intent.HEDGE})
_LIVE = frozenset({DataState.OK, DataState.NEW, DataState.DEGRADED})


class Question(NamedTuple):
    """What is asked, and when.

    `now_ns` is the boot clock, `wall_us` the wall clock at the same moment. `is_fresh`: guard proved to live within its lease.
    `compares_clocks`: the snapshot's boot clock is this process's; else ends are taken from the wall clock. `bypass_end_ns` is the
    end of a bypass on the boot clock, 0 where there is none. `policy` tells which reasons of unknown permit, `bot` what else holds
    for the bot that asks, `side` the order's side where it is known.
    """

    market: Market
    intent: Intent
    now_ns: int
    wall_us: int
    is_fresh: bool
    compares_clocks: bool
    policy: Mapping[str, bool]
    bypass_end_ns: int = 0
    bot: BotPolicy = BotPolicy()
    side: str | None = None


class Answer(NamedTuple):
    """A clearance without its age, good until `expires_ns` of the boot clock."""

    clearance: Clearance
    expires_ns: int


class _Finding(NamedTuple):
    status: ClearanceStatus
    reason: str
    holder: PublishedBlock | None = None
    until_us: int | None = None


class _Listing(NamedTuple):
    # How long the bot's policy counts the market as a new listing.
    answer: ListingAnswer
    until_us: int
    end_ns: int


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

    Blocks come first: an unexpired one stands even while guard is silent. Then what the bot's policy says of a new listing; then
    whatever makes guard not know; then shrink; then allowed. A block that does not count for the bot still gives the status, and
    `would_block`, but refuses nothing. Reduce, close and hedge are always permitted, in full size.

    Raises ValueError, `guard.client.packing.Overwritten` above all, where a live guard's market can no longer be read.
    """
    if snapshot is None:
        unknown = _Finding(ClearanceStatus.UNKNOWN, "guard_silent")
        return Answer(_clearance(unknown, unknown, question, mode=Mode.ENFORCE, fraction=1.0), _expiry(question, ()))
    ends = {block: _end_ns(snapshot, block, question) for block in snapshot.covering(question.market)}
    standing = tuple(block for block, end_ns in ends.items() if end_ns > question.now_ns)
    counted = tuple(block for block in standing if counts(question.bot, block))
    view = _view(snapshot, question)
    listing = _new_listing(snapshot, view, question)
    own = _find(view, counted, listing, question)
    full = own if len(counted) == len(standing) else _find(view, standing, listing, question)
    fractions = [block.max_fraction for block in counted if block.block is Block.SHRINK]
    if listing is not None and listing.answer is ListingAnswer.SHRINK:
        fractions.append(question.bot.new_listings.max_fraction)
    clearance = _clearance(own, full, question, mode=snapshot.mode, fraction=min(fractions, default=1.0))
    clearance = clearance._replace(epoch=snapshot.epoch, seq=snapshot.seq, durable=snapshot.durable)
    if view is not None:
        data, level, _, active, expected = view[:5]
        clearance = clearance._replace(data=data, level=clearance.level or level, rules_active=active, rules_expected=expected)
    later = [ends[block] for block in standing] + ([] if listing is None else [listing.end_ns])
    return Answer(clearance, _expiry(question, tuple(later)))


def standing_blocks(snapshot: Snapshot, question: Question, exchange: str | None) -> tuple[PublishedBlock, ...]:
    """Return the blocks that have not ended, of every exchange or those that hold something on one."""
    return tuple(
        block
        for block in snapshot.blocks
        if _end_ns(snapshot, block, question) > question.now_ns and (exchange is None or _reaches(block, exchange))
    )


def _reaches(block: PublishedBlock, exchange: str) -> bool:
    match block.target.kind:
        case TargetKind.EXCHANGE:
            return block.target.name == exchange
        case TargetKind.MARKET:
            return block.target.name.startswith(f"{exchange}:")
        case _:
            return True


def _view(snapshot: Snapshot, question: Question) -> list[Any] | None:
    try:
        return snapshot.view(question.market)
    except ValueError:
        if question.is_fresh:
            raise
        # The file is gone or damaged: blocks are known, and all else is unknown anyway.
        return None


def _new_listing(snapshot: Snapshot, view: list[Any] | None, question: Question) -> _Listing | None:
    policy = question.bot.new_listings
    known = view[_LISTED] if view is not None and len(view) > _LISTED else None
    if known is None or policy.answer is ListingAnswer.PERMIT:
        return None
    until_us = known - NEW_US + policy.for_us
    end_ns = _boot_ns(snapshot, until_us, question)
    return _Listing(policy.answer, until_us, end_ns) if end_ns > question.now_ns else None


def _find(view: list[Any] | None, standing: tuple[PublishedBlock, ...], listing: _Listing | None, question: Question) -> _Finding:
    if blocking := _strongest(standing, Block.ENTRIES):
        return _Finding(ClearanceStatus.BLOCKED, blocking.reason, blocking)
    if listing is not None and listing.answer is ListingAnswer.REFUSE:
        return _Finding(ClearanceStatus.BLOCKED, NEW_LISTING, until_us=listing.until_us)
    unknown = _unknown(view, is_fresh=question.is_fresh)
    shrinking = _strongest(standing, Block.SHRINK)
    is_shrunk = bool(shrinking or listing)
    # A permitted unknown is weaker than a known limit, a refused one stronger.
    if unknown and not (is_shrunk and unknown in {"warming", "not_watched"} and question.policy[unknown]):
        return _Finding(ClearanceStatus.UNKNOWN, unknown, shrinking)
    if shrinking:
        return _Finding(ClearanceStatus.SHRINK, shrinking.reason, shrinking)
    if listing is not None:
        return _Finding(ClearanceStatus.SHRINK, NEW_LISTING, until_us=listing.until_us)
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


def _clearance(own: _Finding, full: _Finding, question: Question, *, mode: Mode, fraction: float) -> Clearance:
    is_exit = question.intent in _EXITS
    is_refused = _is_refused(own, question)
    would_block = is_refused or _is_refused(full, question)
    status, reason, holder, until_us = own if is_refused else full
    lifted = _lifted_by(question, mode)
    is_bypassed = question.bypass_end_ns > question.now_ns
    binds = not lifted and not is_exit
    is_less = would_block or status is ClearanceStatus.SHRINK
    if not lifted and own is not full:
        lifted = "bot_rules"
    return Clearance(
        status=status,
        permitted=not (is_refused and binds),
        would_block=would_block and not is_exit,
        reason=reason,
        rule=holder.rule if holder else None,
        level=holder.level if holder else None,
        quarantine_id=holder.id if holder else None,
        until_us=holder.until_us if holder else until_us,
        max_fraction=fraction if binds and not (is_refused and status is ClearanceStatus.BLOCKED) else 1.0,
        bypassed=is_bypassed,
        permitted_by=lifted if is_less and not is_exit and not (is_refused and binds) else "",
    )


def _is_refused(finding: _Finding, question: Question) -> bool:
    status = finding.status
    return status is ClearanceStatus.BLOCKED or (status is ClearanceStatus.UNKNOWN and not question.policy[finding.reason])


def _lifted_by(question: Question, mode: Mode) -> str:
    """Return what keeps guard from refusing anything, empty where it may refuse."""
    bot = question.bot
    if question.bypass_end_ns > question.now_ns:
        return "bypass"
    if mode is not Mode.ENFORCE:
        return "mode"
    if bot.mode is not None and bot.mode is not Mode.ENFORCE:
        return "bot_mode"
    if bot.exchanges and question.market.exchange not in bot.exchanges:
        return "bot_exchanges"
    # A side that is neither word may be either.
    side = "" if question.side is None else question.side.lower()
    return "bot_sides" if side in SIDES and side not in bot.sides else ""


def _end_ns(snapshot: Snapshot, block: PublishedBlock, question: Question) -> int:
    end_ns = _boot_ns(snapshot, block.until_us, question)
    return end_ns if block.is_timed else end_ns + HANDOVER_NS


def _boot_ns(snapshot: Snapshot, at_us: int, question: Question) -> int:
    """Return a moment of the wall clock on this process's boot clock."""
    if question.compares_clocks and snapshot.boot_ns <= question.now_ns:
        return snapshot.boot_ns + (at_us - snapshot.wall_us) * 1000
    return question.now_ns + (at_us - question.wall_us) * 1000


def _expiry(question: Question, ends: tuple[int, ...]) -> int:
    bypass = (question.bypass_end_ns,) if question.bypass_end_ns > question.now_ns else ()
    return min((*ends, *bypass), default=FOREVER_NS)
