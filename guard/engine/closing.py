"""What the engine does while markets are in maintenance: nothing of them is folded in, and no level moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.engine.health import opened, shuts
from guard.model import Batch, Channel, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from guard.engine.watched import Watched
    from guard.features.kernel import Kernel
    from guard.model import Verdict

__all__ = ["announcement", "freeze", "passing"]

_CHANNEL_OF: Final = {int(Kind.TRADE): Channel.TRADES, int(Kind.LEVEL): Channel.BOOK}
_VALUES: Final = frozenset({int(Status.USD_RATE), int(Status.VOLUME_24H), int(Status.WARM)})


def passing(
    first: Batch | None, batch: Batch | None, start: int, watched: Sequence[Watched], closed: Collection[int], *, now_us: int
) -> Batch:
    """Return the rows of `first`, then those of `batch` from `start` on, at `now_us` or later, that may be folded in.

    Left out are the trades and book rows of `closed` markets: in an announced window until it ends, otherwise until their channel
    is said to be live. What streams say of themselves in a window is told to their health alone.
    """
    rest = 0 if batch is None else len(batch) - start
    kept = Batch(max(1, rest + (0 if first is None else len(first))))
    for number in range(0 if first is None else len(first)):
        assert first is not None
        _copy(kept, first, number)
    masks = {row: watched[row].health.maintained for row in closed}
    for number in range(start, start + rest):
        assert batch is not None
        now_us = max(now_us, batch.received_us[number])
        row = batch.market[number]
        if row not in closed or _passes(batch, number, now_us, watched[row], masks):
            _copy(kept, batch, number)
    return kept


def _passes(batch: Batch, number: int, now_us: int, watched: Watched, masks: dict[int, int]) -> bool:
    health, kind, row = watched.health, batch.kind[number], batch.market[number]
    until_us = health.announced_until_us
    if until_us is not None and now_us < until_us:
        if kind == Kind.STATUS and batch.key[number] not in _VALUES:
            health.tell(Channel(batch.side[number]), Status(batch.key[number]), now_us)
            return False
        return kind not in _CHANNEL_OF and kind != Kind.GAP
    if kind == Kind.STATUS and batch.key[number] == Status.LIVE:
        masks[row] = opened(masks[row], Channel(batch.side[number]))
    return kind not in _CHANNEL_OF or not shuts(masks[row], _CHANNEL_OF[kind])


def _copy(kept: Batch, batch: Batch, number: int) -> None:
    kept.append(
        batch.kind[number],
        batch.market[number],
        at_us=batch.at_us[number],
        received_us=batch.received_us[number],
        price=batch.price[number],
        amount=batch.amount[number],
        side=batch.side[number],
        key=batch.key[number],
        flags=batch.flags[number],
    )


def announcement(rows: Collection[tuple[int, Watched]], at_us: int) -> Batch:
    """Return STATUS rows that tell how streams stand after an announced window began or ended at `at_us`."""
    batch = Batch(max(1, 2 * len(rows)))
    for row, watched in rows:
        health = watched.health
        is_shut = health.announced_until_us is not None
        for channel in (Channel.ALL,) if is_shut else health.live_channels:
            status = Status.MAINTENANCE if is_shut else Status.LIVE
            batch.append(Kind.STATUS, row, at_us=at_us, received_us=at_us, side=channel, key=status)
    return batch


def freeze(kernel: Kernel, row: int, watched: Watched, now_us: int, anew: int) -> tuple[Verdict, ...]:
    """Let no level and no timer of a market move while it is closed or settles; it is looked at `anew` when that is over."""
    for episode in watched.episodes:
        episode.update(now_us, None, clears=None)
    health = watched.health
    kernel.sign(row, [anew] * len(watched.episodes))
    kernel.schedule(row, is_open=watched.is_open, deadline_us=None if health.is_maintenance else health.settles_until_us)
    return ()
