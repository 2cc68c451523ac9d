"""Asks an exchange for its time, rarely: the only way to see that its clock is behind ours."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from guard.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guard.model.ports import Clock
    from guard_ccxt.stream.gate import ClockOffset

__all__ = ["ExchangeTime"]

_EVERY_S: Final = 3600.0
_AGAIN_S: Final = 60.0
_ANSWER_S: Final = 10.0
_JUMP_US: Final = 50_000
_MS_MIN: Final = 1e12
_MS_MAX: Final = 1e14


class ExchangeTime:
    """Asks once an hour, and after a minute where that told nothing.

    Parameters
    ----------
    ask
        Returns the exchange's time in milliseconds; raises Unavailable.
    offset
        Told of it.
    clock
        Injected. An answer during which our own clock was set tells nothing.
    """

    def __init__(self, ask: Callable[[], Awaitable[Any]], offset: ClockOffset, clock: Clock) -> None:
        self._ask = ask
        self._offset = offset
        self._clock = clock

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_S if await self.look() else _AGAIN_S)

    async def look(self) -> bool:
        """Ask once and return whether that told something."""
        clock = self._clock
        sent_us, started_us = clock.now_us(), clock.monotonic_us()
        try:
            async with asyncio.timeout(_ANSWER_S):
                told = await self._ask()
        except (Unavailable, TimeoutError):
            return False
        received_us, took_us = clock.now_us(), clock.monotonic_us() - started_us
        if abs(received_us - sent_us - took_us) > _JUMP_US or not isinstance(told, (int, float)) or not _MS_MIN < told < _MS_MAX:
            return False
        self._offset.prove(sent_us=sent_us, exchange_us=int(told * 1000), received_us=received_us)
        return True
