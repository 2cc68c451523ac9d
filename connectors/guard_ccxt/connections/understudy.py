"""The same stream on a fresh connection, which delivers to nobody until it takes over. Imports ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.model import Channel
from guard_ccxt.counters import Counters
from guard_ccxt.stream.overlap import Overlap
from guard_ccxt.stream.subscription import Phase, Subscription

if TYPE_CHECKING:
    from guard.model.ports import Clock
    from guard_ccxt.stream.gate import TradeRow

__all__ = ["Understudy"]


class _Nowhere:
    """A sink."""

    def append(self, kind: int, market: int, **_: Any) -> None:
        """Drop the row."""


class Understudy(Subscription):
    """Learns the part of `subscription` on another shard.

    Notes
    -----
    Its trades are noted in the `Overlap` that it shares with `subscription` from its making to `released`.
    """

    def __init__(self, subscription: Subscription, clock: Clock) -> None:
        super().__init__(
            subscription.symbol,
            subscription.row,
            subscription.channel,
            gate=subscription.gate,
            sink=_Nowhere(),
            counters=Counters(_say_nothing),
            clock=clock,
        )
        self.subscription = subscription
        self.ours: Overlap | None = None
        if subscription.channel is Channel.TRADES:
            # Its own too: whatever is quick about delivering is not for streams in an overlap.
            self.ours = self.overlap = subscription.overlap = Overlap(subscription.recent(), since_us=subscription.last_trade_us)

    @property
    def is_needed_now(self) -> bool:
        """Whether it holds so much that it must take over now."""
        return self.ours is not None and self.ours.is_full

    def take_over(self) -> None:
        """Hand the part to the subscription, which goes on from here."""
        assert self.phase is Phase.LIVE
        rows = [] if self.ours is None else self.ours.switch()
        self.subscription.succeed(self, rows)

    def released(self) -> None:
        """Note that the subscription goes on without it."""
        if self.subscription.overlap is self.ours:
            self.subscription.overlap = None

    def _put(self, row: TradeRow, received_us: int, *, extra: int = 0) -> None:
        del extra
        if self.ours is not None:
            self.ours.fresh(row, received_us)


def _say_nothing(text: str) -> None:
    """Take a note that the other subscription's own would repeat."""
