"""What a snapshot says, as JSON: written from an `Image`, read as a `Snapshot`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.model.assets import asset_in, symbol_in
from guard.model.clearance import Mode
from guard.model.quarantine import Block, IsolationState, Quarantine, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.decision import Image
    from guard.model.market import Market

__all__ = ["PublishedBlock", "Snapshot", "block_record", "decode", "encode"]


class PublishedBlock(NamedTuple):
    """One reason that holds one target, as bots and the command line see it.

    `is_timed` holds end with `until_us` by themselves; for the others guard decides at `until_us` what follows. Times are
    microseconds since 1970.
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


class Snapshot(NamedTuple):
    """The published state of one generation.

    `wall_us` and `boot_ns` were read together, in the run of the machine named `boot_id`: they turn an absolute end into the
    boot clock, so that a jump of the wall clock changes no remaining time. A market's list is `MarketView` in order; `unreached`
    has one for all markets that are not listed of an exchange of which nobody knows yet what is watched there.
    """

    epoch: int
    seq: int
    durable: bool
    at_us: int
    wall_us: int
    boot_ns: int
    boot_id: str
    mode: Mode
    aliases: Mapping[str, str]
    is_running: bool
    markets: Mapping[str, list[Any]]
    blocks: tuple[PublishedBlock, ...]
    on_unknown: Mapping[str, Mapping[str, bool]]
    by_target: Mapping[Target, tuple[PublishedBlock, ...]]
    unreached: Mapping[str, list[Any]]

    def covering(self, market: Market) -> tuple[PublishedBlock, ...]:
        """Return the blocks whose target covers `market`."""
        index = self.by_target
        if not index:
            return ()
        asset = asset_in(market.exchange, market.base, self.aliases)
        found = (
            index.get(Target(TargetKind.MARKET, str(market)), ())
            + index.get(Target(TargetKind.SYMBOL, symbol_in(market.exchange, market.symbol, self.aliases)), ())
            + index.get(Target(TargetKind.BASE, asset), ())
            + index.get(Target(TargetKind.EXCHANGE, market.exchange), ())
        )
        if asset == market.base:
            return found
        # What an earlier guard held by the exchange's own spelling.
        old = index.get(Target(TargetKind.SYMBOL, market.symbol), ()) + index.get(Target(TargetKind.BASE, market.base), ())
        return found + old


def encode(
    image: Image, *, epoch: int, seq: int, durable: bool, wall_us: int, boot_ns: int, boot_id: str, is_running: bool = True
) -> bytes:
    """Return the payload of one generation. Raises ValueError for a number that is not finite."""
    document = {
        "epoch": epoch,
        "seq": seq,
        "durable": durable,
        "at_us": image.at_us,
        "wall_us": wall_us,
        "boot_ns": boot_ns,
        "boot_id": boot_id,
        "mode": str(image.mode),
        "aliases": dict(image.aliases),
        "running": image.is_running and is_running,
        "markets": image.markets,
        "blocks": [block_record(each) for each in image.blocks if each.state is not IsolationState.NORMAL],
        "on_unknown": {bot: dict(policy) for bot, policy in image.on_unknown.items()},
        "unreached": dict(image.unreached),
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


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
    }


def _block(record: Mapping[str, Any]) -> PublishedBlock:
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
    )


def decode(payload: bytes) -> Snapshot:
    """Read a payload. Raises ValueError for anything a guard would not write: an unknown block must never read as none."""
    try:
        document = json.loads(payload.decode("utf-8", "surrogatepass"))
        blocks = tuple(map(_block, document["blocks"]))
        aliases = document.get("aliases", {})
        by_target: dict[Target, tuple[PublishedBlock, ...]] = {}
        for block in blocks:
            target = block.target.canonical(aliases=aliases)
            by_target[target] = (*by_target.get(target, ()), block)
        return Snapshot(
            epoch=int(document["epoch"]),
            seq=int(document["seq"]),
            durable=bool(document["durable"]),
            at_us=int(document["at_us"]),
            wall_us=int(document["wall_us"]),
            boot_ns=int(document["boot_ns"]),
            boot_id=str(document["boot_id"]),
            mode=Mode(document["mode"]),
            aliases=aliases,
            is_running=bool(document["running"]),
            markets=document["markets"],
            blocks=blocks,
            on_unknown=document["on_unknown"],
            by_target=by_target,
            # The guard before this one did not tell.
            unreached=document.get("unreached", {}),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a snapshot of guard: {type(error).__name__} {error}") from error
