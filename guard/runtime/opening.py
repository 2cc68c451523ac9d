"""The first thing a starting guard does: take its folder and ledger, and tell bots what it remembers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from guard.api.server import refuse_live
from guard.model import DataState, Image, Level, MarketView
from guard.quarantine import VisibleBlocks
from guard.runtime.clock import SystemClock
from guard.runtime.clock_memory import ClockMemory
from guard.runtime.early import Early, keep_head
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.state import StateFolder
from guard.runtime.taking import take_ledger
from guard.runtime.watchlist import Watchlist

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
        guard.yaml, or what an earlier start kept of it; then `config` has to be set before anything else starts.
    state_path
        State folder; None takes the one of guard.yaml.
    key
        What `guard.runtime.early.settings_key` returned before guard.yaml was read; it is kept for the next start.

    Notes
    -----
    An asynchronous context manager. Once entered, bots see every block of the ledger and the markets of the last run as stale,
    with a fresh heartbeat: nothing watches them yet, and a guard that never gets further than this must not be taken for one that
    warms up. Left, the snapshot is marked stopped. Raises StateError where another guard runs, or the ledger cannot be used, nor
    rebuilt where it is damaged or knows less than bots were told.
    """

    def __init__(self, config: GuardConfig | Early, state_path: Path | None, *, key: str = "") -> None:
        self._early = config if isinstance(config, Early) else None
        self._config = None if isinstance(config, Early) else config
        self._key = key
        self.clock = SystemClock()
        self.state = StateFolder(state_path or self.config.state_folder)
        # How far the wall clock was set between the last run and this one.
        self.clock_moved_us = 0
        # Why the next start has to wait for guard.yaml before it answers, None where it has not.
        self.head_problem: str | None = None
        self._stack = AsyncExitStack()

    @property
    def config(self) -> GuardConfig:
        """guard.yaml, once it was read."""
        assert self._config is not None
        return self._config

    @config.setter
    def config(self, config: GuardConfig) -> None:
        self._config = config
        self.head_problem = keep_head(self.state.caches, self._key, self._settings())

    def record(self) -> dict[str, Any]:
        """Return the section ``start`` of the status document: whether bots had their answer before guard.yaml was read."""
        return {"fast": self._early is not None, "problem": self.head_problem}

    async def __aenter__(self) -> Self:
        try:
            self._stack.enter_context(self.state)
            # Somebody may have deleted the lock of a guard that runs; taking the ledger would end that one.
            refuse_live(self.state.socket)
            self.taken = await take_ledger(self.state, self.clock)
            self.store, self.ledger = self.taken.store, self.taken.state
            self._stack.push_async_callback(self.store.close)
            memory = ClockMemory(self.state.clock, self.clock)
            self.ledger = await memory.straighten(self.store, self.ledger)
            self.clock_moved_us = memory.moved_us
            self.watchlist = Watchlist(self.state.caches / "watched.json")
            self.publisher = SnapshotPublisher(self.state.snapshot_folder, self.clock)
            self._stack.callback(self.publisher.stop)
            self.publisher.publish(self._remembered(), epoch=self.ledger.epoch, seq=self.ledger.seq, durable=True)
            self.publisher.beat()
            if self._early is None:
                self.head_problem = keep_head(self.state.caches, self._key, self._settings())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _remembered(self) -> Image:
        return self._settings()._replace(
            at_us=self.clock.now_us(),
            markets={name: self.watchlist.view(name, NOT_REACHED) for name in self.watchlist.markets},
            blocks=VisibleBlocks(self.ledger.quarantines).show(),
        )

    def _settings(self) -> Image:
        """Return what bots are told of guard.yaml."""
        if self._config is None and self._early is not None:
            return self._early.image
        return Image(
            mode=self.config.mode,
            at_us=0,
            markets={},
            blocks=(),
            on_unknown=self.config.on_unknown(),
            bots=self.config.bot_policies(),
            aliases=dict(self.config.aliases),
            unreached=dict.fromkeys(self.config.exchanges, NOT_OPEN),
        )
