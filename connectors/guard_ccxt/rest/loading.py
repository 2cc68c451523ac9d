"""Exchanges of one process load their markets one after another, but none waits long for another. Imports nothing of ccxt."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from guard.model.ports import Clock

__all__ = ["in_turn"]

_WAIT_S: Final = 1.5


class _Load(NamedTuple):
    begun: asyncio.Event
    ended: asyncio.Event


_LAST: WeakKeyDictionary[Clock, _Load] = WeakKeyDictionary()


@asynccontextmanager
async def in_turn(clock: Clock) -> AsyncIterator[None]:
    """Begin when the load before has ended, or 1.5 s after it began: an exchange that does not answer holds up nobody for longer.

    The list of markets is the largest answer of an exchange, and its parsing holds the loop: those of many at once run into one
    another's time-outs. Whose turn it is: all that were given the same clock.
    """
    before, mine = _LAST.get(clock), _Load(asyncio.Event(), asyncio.Event())
    _LAST[clock] = mine
    try:
        if before is not None:
            await before.begun.wait()
            waiting = [asyncio.ensure_future(before.ended.wait()), asyncio.ensure_future(clock.sleep(_WAIT_S))]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waiting:
                    each.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
        mine.begun.set()
        yield
    finally:
        mine.begun.set()
        mine.ended.set()
