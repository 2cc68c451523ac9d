"""Lets go of one stream: asks the exchange to stop it where ccxt can, and forgets what ccxt keeps of it. Imports ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ccxt import BaseError

from guard.model import Channel

if TYPE_CHECKING:
    from guard_ccxt.connections.tap import Tap
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["leave"]

_ANSWER_S = 5.0
_UNWATCH = {Channel.TRADES: ("unWatchTrades", "un_watch_trades"), Channel.BOOK: ("unWatchOrderBook", "un_watch_order_book")}


async def leave(exchange: Any, tap: Tap, subscription: Subscription, counters: Counters) -> None:
    """Unsubscribe `subscription`, which the tap no longer knows; within 5 s, and never raises but for a cancellation.

    Where ccxt cannot unsubscribe, or the exchange does not answer, its data is dropped as it comes until the connection ends.
    A connection that nobody needs any more is closed, which ends all that is left on it.
    """
    connection = subscription.connection
    if connection is None:
        return
    if not any(other.connection is connection for other in tap.subscriptions.values()):
        tap.retire(connection, "no market needs it any more")
    elif connection.state != "live" or not await _unwatch(exchange, subscription, counters):
        tap.haunt(subscription.key, connection)
    _forget(exchange, tap, subscription)


async def _unwatch(exchange: Any, subscription: Subscription, counters: Counters) -> bool:
    ability, name = _UNWATCH[subscription.channel]
    if not exchange.has.get(ability):
        return False
    try:
        await asyncio.wait_for(getattr(exchange, name)(subscription.symbol), _ANSWER_S)
    except (BaseError, TimeoutError, OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        counters.note(f"{exchange.id} does not unsubscribe; what comes of markets let go is dropped: {error!r:.200}")
        return False
    return True


def _forget(exchange: Any, tap: Tap, subscription: Subscription) -> None:
    # Futures that nobody awaits, and Binance's notes of which stream runs on which socket: its sockets would fill up with markets
    # let go. ccxt's list of subscriptions stays where it did not unsubscribe: the stream is still there when it is wanted again.
    shared = {one for other in tap.subscriptions.values() if other.connection is subscription.connection for one in other.hashes}
    for message_hash in subscription.hashes - shared:
        future = subscription.connection.client.futures.pop(message_hash, None)
        if future is not None and not future.done():
            future.cancel()
    streams = exchange.options.get("streamBySubscriptionsHash")
    counts = exchange.options.get("numSubscriptionsByStream")
    if not isinstance(streams, dict) or not isinstance(counts, dict):
        return
    kind = "Trades" if subscription.channel is Channel.TRADES else "Orderbook"
    stream = streams.pop(f"multiple{kind}::{subscription.symbol}", None)
    if stream is not None and counts.get(stream):
        counts[stream] -= 1
