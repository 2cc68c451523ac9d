"""What is said of a stream though its connection says otherwise: taken for dead, closed for maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import Channel, Status
from guard_ccxt.stream.subscription import Phase

if TYPE_CHECKING:
    from guard_ccxt.stream.gate import TradeRow
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["clear", "clear_book", "close", "doubt_book", "missed", "progress", "reopen", "suspect"]


def suspect(subscription: Subscription) -> bool:
    """Take a live stream for dead until a trade arrives or it is cleared: its data is not ready. Returns whether that is new."""
    if subscription.phase is not Phase.LIVE:
        return False
    subscription.broke()
    subscription.ids.is_torn = True
    subscription.phase = Phase.SUSPECT
    subscription.voice.tell(Status.STALLED)
    return True


def clear(subscription: Subscription, now_us: int) -> None:
    """Note that a suspected stream has missed nothing."""
    if subscription.phase is Phase.SUSPECT:
        subscription.last_good_us, subscription.ids.is_torn = None, False
        subscription.resume(at_us=now_us, received_us=now_us)


def doubt_book(subscription: Subscription) -> bool:
    """Take a live book for dead since its last message, until one arrives or it is cleared. Returns whether that is new."""
    if not suspect(subscription):
        return False
    subscription.last_good_us = subscription.shown.at_us or subscription.last_good_us
    subscription.shown.needs_snapshot = True
    return True


def clear_book(subscription: Subscription, now_us: int) -> None:
    """Note that a suspected book has missed nothing: it is shown again as it stands."""
    if subscription.phase is Phase.SUSPECT:
        subscription.shown.needs_snapshot = False
        clear(subscription, now_us)
        subscription.show_book()


def progress(subscription: Subscription) -> object:
    """Return what differs whenever something came."""
    return subscription.arrivals if subscription.channel is Channel.TRADES else subscription.shown.token


def missed(subscription: Subscription, rows: list[TradeRow], now_us: int) -> None:
    """Note that a live stream never brought `rows`, oldest first: they are BACKFILL, and what came since is behind a GAP."""
    for row in rows:
        if not subscription.remember(row):
            subscription.put_late(row, now_us)
    subscription.last_good_us = rows[0].at_us - 1
    subscription.resume(at_us=now_us, received_us=now_us)


def close(subscription: Subscription) -> None:
    """Say that the exchange is in maintenance; whatever the stream does, it is live again only once it is reopened."""
    if subscription.voice.is_closed or subscription.phase is Phase.PARKED:
        return
    if subscription.held is not None:
        subscription.settle((), is_closed=False)
    if subscription.phase is Phase.LIVE:
        subscription.broke()
    subscription.voice.tell(Status.MAINTENANCE)
    subscription.voice.is_closed = True


def reopen(subscription: Subscription, now_us: int) -> None:
    """Say that maintenance is over, and how the stream stands; what it brought meanwhile counts as missed."""
    if not subscription.voice.is_closed:
        return
    subscription.voice.is_closed, subscription.voice.told = False, None
    if subscription.phase is Phase.LIVE:
        subscription.resume(at_us=now_us, received_us=now_us)
        if subscription.channel is Channel.BOOK:
            subscription.show_book()
    else:
        subscription.voice.tell(Status.LOST)
