"""The first thing a starting guard does: take its folder and ledger, and tell bots what it remembers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from guard.api.server import refuse_live
from guard.client.snapshot import SnapshotUnusable, read_snapshot
from guard.errors import StateError
from guard.model import DataState, Image, Level, MarketView
from guard.quarantine import VisibleBlocks
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.state import StateFolder
from guard.runtime.watchlist import Watchlist
from guard.store import LedgerStore

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import GuardConfig

__all__ = ["NOT_OPEN", "NOT_REACHED", "Opening"]

# A market of the last run before its exchange is open again.
NOT_OPEN = MarketView(data=str(DataState.WARMING), level=str(Level.NORMAL), score=None, rules_active=0, rules_expected=0)
NOT_REACHED = NOT_OPEN._replace(data=str(DataState.STALE))


class Opening:
    """Lock, ledger and a first snapshot, before anything that takes long to import.

    Parameters
    ----------
    config
        guard.yaml.
    state_path
        State folder; None takes the one of guard.yaml.

    Notes
    -----
    An asynchronous context manager. Once entered, bots see every block of the ledger and the markets of the last run as stale,
    with a fresh heartbeat: nothing watches them yet, and a guard that never gets further than this must not be taken for one that
    warms up. Left, the snapshot is marked stopped. Raises StateError where another guard runs, or the ledger cannot be used or
    knows less than bots were told.
    """

    def __init__(self, config: GuardConfig, state_path: Path | None) -> None:
        self.config = config
        self.clock = SystemClock()
        self.state = StateFolder(state_path or config.state_folder)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._stack.enter_context(self.state)
            # Somebody may have deleted the lock of a guard that runs; taking the ledger would end that one.
            refuse_live(self.state.socket)
            self.store = LedgerStore(self.state.ledger, clock=self.clock)
            self.ledger = await self.store.open()
            self._stack.push_async_callback(self.store.close)
            self._refuse_older()
            self.watchlist = Watchlist(self.state.caches / "watched.json")
            self.publisher = SnapshotPublisher(self.state.snapshot_folder, self.clock)
            self._stack.callback(self.publisher.stop)
            self.publisher.publish(self._remembered(), epoch=self.ledger.epoch, seq=self.ledger.seq, durable=True)
            self.publisher.beat()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _refuse_older(self) -> None:
        """Raise StateError where bots were told more than the ledger has: what is missing would be free without anyone's word."""
        try:
            told = read_snapshot(str(self.state.snapshot))
        except (SnapshotUnusable, OSError):
            return
        if told is not None and told.seq > self.ledger.seq:
            raise StateError(
                f"the ledger {self.state.ledger} ends at entry {self.ledger.seq}, but bots were told of entry {told.seq}: its log "
                f"was deleted, or an older ledger put in place. Bots keep their blocks. Bring the ledger back, or move "
                f"{self.state.snapshot} away to go on with what the ledger has"
            )

    def _remembered(self) -> Image:
        return Image(
            mode=self.config.mode,
            at_us=self.clock.now_us(),
            markets=dict.fromkeys(self.watchlist.markets, NOT_REACHED),
            blocks=VisibleBlocks(self.ledger.quarantines).show(),
            on_unknown=self.config.on_unknown(),
            bots=self.config.bot_policies(),
            unreached=dict.fromkeys(self.config.exchanges, NOT_OPEN),
        )
