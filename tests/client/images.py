"""Published states, a clock that a test moves, and a publisher with a guard that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.client import Guard
from guard.client.clock import Clocks
from guard.model import (
    Block,
    BotPolicy,
    Hold,
    Image,
    IsolationState,
    Level,
    Market,
    MarketView,
    Mode,
    PublishedBypass,
    Quarantine,
    Target,
    TargetKind,
)
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECOND = 1_000_000
MINUTE = 60 * SECOND
START_US = 1_800_000_000 * SECOND
BOOT_ID = "0123456789abcdef0123456789abcdef"


class ManualClock:
    """A clock of both kinds: `guard.model.ports.Clock`, and the `Clocks` of a client on the same machine."""

    def __init__(self, *, wall_us: int = START_US, boot_us: int = 9000 * SECOND) -> None:
        self.wall_us = wall_us
        self.boot_us = boot_us

    def now_us(self) -> int:
        return self.wall_us

    def monotonic_us(self) -> int:
        return self.boot_us

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.wall_us += round(seconds * SECOND)
        self.boot_us += round(seconds * SECOND)

    def clocks(self, *, boot_id: str = BOOT_ID, ahead_us: int = 0) -> Clocks:
        return Clocks(lambda: (self.boot_us + ahead_us) * 1000, lambda: self.wall_us, boot_id)


def view(data: str = "ok", level: str = "normal") -> MarketView:
    return MarketView(data, level, 0.1, 3, 4)


def quarantine(
    target: str = "sim:X/USDT",
    *,
    kind: TargetKind = TargetKind.MARKET,
    until_us: int = START_US + 30 * MINUTE,
    state: IsolationState = IsolationState.QUARANTINED,
    block: Block = Block.ENTRIES,
    is_timed: bool = True,
    identity: str = "aabbccddeeff",
    max_fraction: float = 0.25,
    reason: str = "up 9 %",
    rule: str = "pump_dump",
    level: Level = Level.DANGER,
) -> Quarantine:
    hold = Hold(
        rule=rule,
        market=Market("sim", "X/USDT"),
        target=Target(kind, target),
        level=level,
        reason=reason,
        for_us=30 * MINUTE,
        max_us=1440 * MINUTE,
        block=block,
        release_for_us=None if is_timed else 10 * MINUTE,
        max_fraction=max_fraction,
    )
    return Quarantine(identity, hold, state, START_US, until_us, until_us, until_us)


def image(
    *blocks: Quarantine,
    mode: Mode = Mode.ENFORCE,
    markets: Mapping[str, MarketView] | None = None,
    on_unknown: Mapping[str, Mapping[str, bool]] | None = None,
    is_running: bool = True,
    bots: Mapping[str, BotPolicy] | None = None,
    rule_tags: Mapping[str, tuple[str, ...]] | None = None,
    bypass: PublishedBypass | None = None,
) -> Image:
    watched = {"sim:X/USDT": view(), "sim:Y/USDT": view()} if markets is None else markets
    found = Image(mode, START_US, watched, blocks, on_unknown or {}, is_running)
    return found._replace(bots=bots or {}, rule_tags=rule_tags or {}, bypass=bypass)


class Machine:
    """One machine: a guard that publishes into `folder` and bots that read it, on one clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state"
        (self.folder / "snapshot").mkdir(parents=True)
        self.clock = ManualClock()
        self.publisher = self.writer()
        self.seq = 0

    def writer(self) -> SnapshotPublisher:
        return SnapshotPublisher(self.folder / "snapshot", self.clock, boot_id=BOOT_ID)

    def publish(self, state: Image, *, durable: bool = True) -> None:
        self.seq += 1
        self.publisher.publish(state, epoch=7, seq=self.seq, durable=durable)
        self.publisher.beat()

    def guard(self, bot: str | None = None, *, strict: bool = False, tells: bool = False, clocks: Clocks | None = None) -> Guard:
        return Guard(self.folder, bot, strict=strict, tells=tells, clocks=clocks or self.clock.clocks())

    def pass_time(self, seconds: float, *, beats: bool = True) -> None:
        """Let time pass; a live guard beats every quarter of a second."""
        quarters: Sequence[int] = range(int(seconds * 4))
        for _ in quarters:
            self.clock.pass_time(0.25)
            if beats:
                self.publisher.beat()
        self.clock.pass_time(seconds - len(quarters) / 4)
        if beats:
            self.publisher.beat()
