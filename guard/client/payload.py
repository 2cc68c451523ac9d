"""What a snapshot says: a document made from an `Image`, packed by the writer, read as a `Snapshot`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.client.packing import PackedMarkets, pack, split
from guard.client.policies import policy_record, read_policy
from guard.model.clearance import Mode
from guard.model.decision import PublishedBypass
from guard.model.quarantine import Block, IsolationState, Quarantine, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.client.packing import Frame
    from guard.model.bot import BotPolicy
    from guard.model.decision import Image
    from guard.model.market import Market

__all__ = ["PublishedBlock", "Snapshot", "block_record", "decode", "document", "encode", "snapshot_of", "unpacked"]

_OPERATOR = "operator"


class PublishedBlock(NamedTuple):
    """One reason that holds one target, as bots and the command line see it.

    `is_timed` holds end with `until_us` by themselves; for the others guard decides at `until_us` what follows. Times are
    microseconds since 1970. `tags` are those of the rule, None where they are not known; `source` is ``rule`` for what a rule
    decided on its own, else where the block comes from, ``operator`` for a person. Blocks of one incident share `zone`.
    """

    id: str
    target: Target
    state: IsolationState
    block: Block
    rule: str
    level: str
    reason: str
    opened_us: int
    until_us: int
    is_timed: bool
    max_fraction: float
    market: str
    actor: str
    repetition: int
    tags: frozenset[str] | None = None
    zone: str = ""
    source: str = "rule"


class Snapshot(NamedTuple):
    """The published state of one generation.

    `wall_us` and `boot_ns` were read together, in the run of the machine named `boot_id`: they turn an absolute end into the
    boot clock, so that a jump of the wall clock changes no remaining time. A market's list is `MarketView` in order; `unreached`
    has one for all markets that are not listed of an exchange of which nobody knows yet what is watched there. `says` is equal for
    two generations that differ in their clocks only.
    """

    epoch: int
    seq: int
    durable: bool
    at_us: int
    wall_us: int
    boot_ns: int
    boot_id: str
    mode: Mode
    is_running: bool
    markets: Mapping[str, list[Any]]
    blocks: tuple[PublishedBlock, ...]
    on_unknown: Mapping[str, Mapping[str, bool]]
    by_target: Mapping[Target, tuple[PublishedBlock, ...]]
    unreached: Mapping[str, list[Any]]
    bots: Mapping[str, BotPolicy]
    bypass: PublishedBypass | None
    says: tuple[object, ...]

    def covering(self, market: Market) -> tuple[PublishedBlock, ...]:
        """Return the blocks whose target covers `market`."""
        index = self.by_target
        if not index:
            return ()
        return (
            index.get(Target(TargetKind.MARKET, str(market)), ())
            + index.get(Target(TargetKind.SYMBOL, market.symbol), ())
            + index.get(Target(TargetKind.BASE, market.base), ())
            + index.get(Target(TargetKind.EXCHANGE, market.exchange), ())
        )

    def view(self, market: Market) -> list[Any] | None:
        """Return what is known of a market, None where it is not watched. Raises `guard.client.packing.Overwritten`."""
        return self.markets.get(str(market)) or self.unreached.get(market.exchange)


def document(
    image: Image, *, epoch: int, seq: int, durable: bool, wall_us: int, boot_ns: int, boot_id: str, is_running: bool = True
) -> dict[str, Any]:
    """Return all that a generation says, JSON-able."""
    return {
        "epoch": epoch,
        "seq": seq,
        "durable": durable,
        "at_us": image.at_us,
        "wall_us": wall_us,
        "boot_ns": boot_ns,
        "boot_id": boot_id,
        "mode": str(image.mode),
        "running": image.is_running and is_running,
        "markets": image.markets,
        "blocks": [
            {**block_record(each), "tags": _tags(each, image.rule_tags)}
            for each in image.blocks
            if each.state is not IsolationState.NORMAL
        ],
        "on_unknown": {bot: dict(policy) for bot, policy in image.on_unknown.items()},
        "unreached": dict(image.unreached),
        "bots": {bot: policy_record(policy) for bot, policy in image.bots.items()},
        "bypass": None if image.bypass is None else image.bypass._asdict(),
    }


def encode(
    image: Image, *, epoch: int, seq: int, durable: bool, wall_us: int, boot_ns: int, boot_id: str, is_running: bool = True
) -> bytes:
    """Return the payload of one generation. Raises ValueError for a number that is not finite."""
    return pack(
        document(
            image,
            epoch=epoch,
            seq=seq,
            durable=durable,
            wall_us=wall_us,
            boot_ns=boot_ns,
            boot_id=boot_id,
            is_running=is_running,
        )
    )


def block_record(quarantine: Quarantine) -> dict[str, Any]:
    """Return a quarantine as the JSON object that snapshots, ``quarantine ls`` and the operator's socket show."""
    hold = quarantine.hold
    return {
        "id": quarantine.id,
        "target": str(quarantine.target),
        "kind": str(quarantine.target.kind),
        "name": quarantine.target.name,
        "state": str(quarantine.state),
        "block": str(quarantine.block),
        "rule": hold.rule,
        "level": str(hold.level),
        "reason": hold.reason,
        "opened_us": quarantine.opened_us,
        "until_us": quarantine.until_us,
        "timed": hold.release_for_us is None,
        "max_fraction": hold.max_fraction,
        "market": "" if hold.market is None else str(hold.market),
        "actor": quarantine.actor,
        "repetition": quarantine.repetition,
        "zone": hold.zone,
        "source": _OPERATOR if hold.rule == _OPERATOR else "rule",
    }


def _tags(quarantine: Quarantine, known: Mapping[str, Sequence[str]]) -> list[str] | None:
    tags = known.get(quarantine.hold.rule)
    return None if tags is None else list(tags)


def _block(record: Mapping[str, Any]) -> PublishedBlock:
    tags = record.get("tags")
    return PublishedBlock(
        id=record["id"],
        target=Target(TargetKind(record["kind"]), record["name"]),
        state=IsolationState(record["state"]),
        block=Block(record["block"]),
        rule=record["rule"],
        level=record["level"],
        reason=record["reason"],
        opened_us=int(record["opened_us"]),
        until_us=int(record["until_us"]),
        is_timed=bool(record["timed"]),
        max_fraction=float(record["max_fraction"]),
        market=record["market"],
        actor=record["actor"],
        repetition=int(record["repetition"]),
        tags=None if tags is None else frozenset(map(str, tags)),
        zone=str(record.get("zone", "")),
        # The guard before this one did not tell.
        source=str(record.get("source", _OPERATOR if record["rule"] == _OPERATOR else "rule")),
    )


def decode(payload: bytes) -> Snapshot:
    """Read a whole payload, of this layout or of the one before.

    Raises ValueError for anything a guard would not write: an unknown block must never read as none.
    """
    if payload.startswith(b"{"):
        return _parsed(payload, {}, None)
    top = payload[: int.from_bytes(payload[4:8], "little")]
    return unpacked(split(top), lambda at, length: payload[at : at + length], {}, None)


def snapshot_of(document: Mapping[str, Any], markets: Mapping[str, list[Any]] | None = None) -> Snapshot:
    """Return what a document says, with `markets` in place of its own where they are given.

    Raises ValueError, KeyError, TypeError or AttributeError for one that guard would not make.
    """
    blocks = tuple(map(_block, document["blocks"]))
    by_target: dict[Target, list[PublishedBlock]] = {}
    for block in blocks:
        by_target.setdefault(block.target, []).append(block)
    bypass = document.get("bypass")
    return Snapshot(
        epoch=int(document["epoch"]),
        seq=int(document["seq"]),
        durable=bool(document["durable"]),
        at_us=int(document["at_us"]),
        wall_us=int(document["wall_us"]),
        boot_ns=int(document["boot_ns"]),
        boot_id=str(document["boot_id"]),
        mode=Mode(document["mode"]),
        is_running=bool(document["running"]),
        markets=document["markets"] if markets is None else markets,
        blocks=blocks,
        on_unknown=document["on_unknown"],
        by_target={target: tuple(found) for target, found in by_target.items()},
        # The guard before this one did not tell of these.
        unreached=document.get("unreached", {}),
        bots={str(bot): read_policy(record) for bot, record in document.get("bots", {}).items()},
        bypass=None if bypass is None else _bypass(bypass),
        says=(),
    )


def unpacked(
    frame: Frame,
    read: Callable[[int, int], bytes],
    known: dict[int, tuple[int, int, dict[str, list[Any]]]],
    before: Snapshot | None,
) -> Snapshot:
    """Return the snapshot of a packed payload; `before` spares reading again what has not changed. Raises like `decode`."""
    says = (frame.epoch, frame.seq, frame.durable, frame.is_running, frame.rest, frame.buckets)
    markets = PackedMarkets(frame, read, known)
    if before is not None and before.says and before.says[4] == frame.rest:
        known_rest = before
    else:
        numbers = {"epoch": 0, "seq": 0, "durable": True, "running": True, "at_us": 0, "wall_us": 0, "boot_ns": 0}
        known_rest = _parsed(frame.rest, numbers, markets)
    return known_rest._replace(
        epoch=frame.epoch,
        seq=frame.seq,
        durable=frame.durable,
        is_running=frame.is_running,
        at_us=frame.at_us,
        wall_us=frame.wall_us,
        boot_ns=frame.boot_ns,
        markets=markets,
        says=says,
    )


def _parsed(text: bytes, numbers: Mapping[str, Any], markets: Mapping[str, list[Any]] | None) -> Snapshot:
    try:
        return snapshot_of({**json.loads(text.decode("utf-8", "surrogatepass")), **numbers}, markets)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a snapshot of guard: {type(error).__name__} {error}") from error


def _bypass(record: Mapping[str, Any]) -> PublishedBypass:
    return PublishedBypass(
        until_us=int(record["until_us"]),
        until_boot_ns=int(record["until_boot_ns"]),
        boot_id=str(record["boot_id"]),
        began_us=int(record["began_us"]),
        reason=str(record["reason"]),
        actor=str(record["actor"]),
    )
