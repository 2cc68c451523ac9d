"""What the engine does while markets are in maintenance: nothing of them is folded in, and no level moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.engine.health import opened, shuts
from guard.engine.verdicts import ended_group
from guard.model import Batch, Channel, Control, Flag, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.engine.engine import Engine
    from guard.engine.watched import Watched
    from guard.model import Verdict

__all__ = ["Closing", "freeze"]

_CHANNEL_OF: Final = {int(Kind.TRADE): Channel.TRADES, int(Kind.LEVEL): Channel.BOOK}
_VALUES: Final = frozenset({int(Status.USD_RATE), int(Status.VOLUME_24H), int(Status.WARM)})


class Closing:
    """Which markets of an engine are in maintenance, and what of a batch is folded in meanwhile.

    Attributes
    ----------
    is_announced
        Whether a window was announced for any market so far.
    rows
        The markets that are closed now.

    Notes
    -----
    Left out are the trades and book rows of closed markets: in an announced window until it ends, otherwise until their channel is
    said to be live. What streams say of themselves in a window is told to their health alone. The past from before a market was
    closed passes.
    """

    def __init__(self, engine: Engine) -> None:
        self.is_announced = False
        self._engine = engine
        self.rows: set[int] = set()
        # Markets that closed since the rest of the batch was looked through.
        self._fresh: set[int] = set()

    def begin(self, batch: Batch | None, now_us: int) -> Batch | None:
        """Return what of a batch may be folded in."""
        if batch is None:
            return batch
        self._fresh.clear()
        return self._passing(None, batch, 0, now_us)

    def announce(self, spans: Mapping[int, tuple[int, int] | None], at_us: int) -> None:
        """Take note of markets that are said to be in maintenance from one time until another, or, with None, no longer."""
        told = [(row, self._engine.watched[row]) for row in spans]
        for row, watched in told:
            span = spans[row]
            watched.health.announce(None if span is None else span[1], at_us, since_us=at_us if span is None else span[0])
            self.note(row)
        self._go_on(_announcement(told, at_us))

    def tell(self, row: int, channel: Channel, status: Status) -> None:
        """Take a STATUS row of a market, which the kernel just took."""
        health = self._engine.watched[row].health
        if health.announced_until_us is None:
            health.tell(channel, status, self._engine.now_us)
            self.note(row)
            if status is Status.MAINTENANCE:
                self._fresh.add(row)
        batch, position = self._engine.batch, self._engine.kernel.position
        # A whole exchange says so at once: the rest is looked through after the last of them.
        if not self._fresh or batch is None or (position < len(batch) and batch.kind[position] == Kind.STATUS):
            return
        if self._fresh.isdisjoint(batch.market[position : len(batch)]):
            self._fresh.clear()
            return
        self._go_on(None)

    def note(self, row: int) -> None:
        """Look at whether a market is closed."""
        health = self._engine.watched[row].health
        (self.rows.add if health.is_maintenance else self.rows.discard)(row)
        self.is_announced = self.is_announced or health.announced_until_us is not None

    def _go_on(self, first: Batch | None) -> None:
        """Go on with what is left of the batch that may be folded in, after `first`."""
        engine = self._engine
        self._fresh.clear()
        engine.go_on(self._passing(first, engine.batch, engine.kernel.position, engine.now_us))

    def _passing(self, first: Batch | None, batch: Batch | None, start: int, now_us: int) -> Batch:
        """Return the rows of `first`, then those of `batch` from `start` on, at `now_us` or later, that may be folded in."""
        rest = 0 if batch is None else len(batch) - start
        kept = Batch(max(1, rest + (0 if first is None else len(first))))
        for number in range(0 if first is None else len(first)):
            assert first is not None
            _copy(kept, first, number)
        closed, watched, masks = self.rows, self._engine.watched, dict[int, int]()
        is_passing = False
        for number in range(start, start + rest):
            assert batch is not None
            row, before_us = batch.market[number], now_us
            now_us = max(now_us, batch.received_us[number])
            if row in closed and not _passes(batch, number, now_us, watched[row], masks):
                is_passing = True
                continue
            if is_passing:
                _pass_time(kept, before_us)
            is_passing = False
            _copy(kept, batch, number)
        if is_passing:
            _pass_time(kept, now_us)
        return kept


def _pass_time(kept: Batch, now_us: int) -> None:
    """Let time pass up to rows that are left out, as it does with all others."""
    kept.append(Kind.CONTROL, 0, at_us=now_us, received_us=now_us, side=Control.PASS)


def _passes(batch: Batch, number: int, now_us: int, watched: Watched, masks: dict[int, int]) -> bool:
    health, kind, row = watched.health, batch.kind[number], batch.market[number]
    until_us = health.announced_until_us
    if is_announced := until_us is not None and now_us < until_us:
        if kind == Kind.STATUS and batch.key[number] not in _VALUES:
            health.tell(Channel(batch.side[number]), Status(batch.key[number]), now_us)
            return False
        if kind == Kind.GAP:
            return False
    # After what was told to the health in a window that this batch outlasts.
    mask = masks.get(row, health.maintained)
    if kind == Kind.STATUS and batch.key[number] == Status.LIVE:
        mask = masks[row] = opened(mask, Channel(batch.side[number]))
    if kind not in _CHANNEL_OF or not (is_announced or shuts(mask, _CHANNEL_OF[kind])):
        return True
    return bool(batch.flags[number] & Flag.BACKFILL) and batch.at_us[number] < health.closed_since_us


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


def _announcement(rows: Sequence[tuple[int, Watched]], at_us: int) -> Batch:
    """Return STATUS rows that tell how streams stand after an announced window began or ended at `at_us`.

    What the exchange itself says to be closed stays so.
    """
    batch = Batch(max(1, 2 * len(rows)))
    for row, watched in rows:
        health = watched.health
        is_shut = health.announced_until_us is not None
        live = (channel for channel in health.live_channels if not shuts(health.maintained, channel))
        for channel in (Channel.ALL,) if is_shut else live:
            status = Status.MAINTENANCE if is_shut else Status.LIVE
            batch.append(Kind.STATUS, row, at_us=at_us, received_us=at_us, side=channel, key=status)
    return batch


def freeze(engine: Engine, row: int, now_us: int, anew: int) -> tuple[Verdict, ...]:
    """Let no level and no timer of a market move while it is closed or settles; it is looked at `anew` when that is over.

    Groups hear that the market cannot tell, so that what it held before raises none of them.
    """
    watched = engine.watched[row]
    told = []
    for number, episode in zip(watched.binding.rules, watched.episodes, strict=True):
        episode.update(now_us, None, clears=None)
        rule = engine.program.rules[number]
        if rule.quorum is not None:
            group = engine.groups.of(rule, watched.facts.market)
            before = group.update(row, now_us, episode.level, None)
            if before is not None:
                told.append(ended_group(rule, group, engine.watched, row, before=before, at_us=now_us))
    health, kernel = watched.health, engine.kernel
    kernel.sign(row, [anew] * len(watched.episodes))
    kernel.schedule(row, is_open=watched.is_open, deadline_us=None if health.is_maintenance else health.settles_until_us)
    return tuple(told)
