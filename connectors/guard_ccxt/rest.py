"""guard's REST requests of one exchange pass here: few at a time, none while it asks for quiet. Imports ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ccxt

from guard.errors import RateLimited, Unavailable
from guard_ccxt.faults import RETRY_AFTER_S, Fault, classify, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guard.model.ports import Clock

__all__ = ["Rest"]

_RETRY_AFTER_MAX_S = 600.0
_PAGE = 1000


class Rest:
    """The REST budget of one exchange, under ccxt's own rate limiter.

    Parameters
    ----------
    exchange
        A ccxt instance; its last response headers are read for ``Retry-After``.
    clock
        Injected.
    concurrent
        Requests under way at once, > 0.
    """

    def __init__(self, exchange: Any, clock: Clock, *, concurrent: int = 4) -> None:
        self._exchange = exchange
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrent)
        self._quiet_until_us = 0
        self._pages: dict[str, int | None] = {}

    async def call(self, doing: str, request: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
        """Return the answer of `request`; raises Disconnected or RateLimited, telling what it was `doing`."""
        async with self._slots:
            try:
                return await request(*arguments, **named)
            except (ccxt.BaseError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise translated(error, doing, retry_after_s=self.left_s()) from error

    async def page(self, doing: str, request: Callable[..., Awaitable[Any]], *arguments: Any, parameters: Any = None) -> Any:
        """Return up to 1000 rows of `request`, or as many as the exchange gives by default once it refused that many.

        `arguments` are those before ccxt's ``limit`` and ``params``. Raises Unavailable.
        """
        name = str(getattr(request, "__name__", request))
        limit = self._pages.get(name, _PAGE)
        try:
            return await self.call(doing, request, *arguments, limit, parameters or {})
        except RateLimited:
            raise
        except Unavailable:
            if limit is None:
                raise
            answer = await self.call(doing, request, *arguments, None, parameters or {})
            self._pages[name] = None
            return answer

    def install(self) -> None:
        """Make ccxt's own requests (a book's snapshot, and its retries) keep quiet too."""
        stock = self._exchange.fetch

        async def fetch(*arguments: Any, **named: Any) -> Any:
            await self.quiet()
            try:
                return await stock(*arguments, **named)
            except ccxt.BaseError as error:
                self.heed(error)
                raise

        self._exchange.fetch = fetch

    async def quiet(self) -> None:
        """Wait until the exchange may be asked again."""
        while (left_s := self.left_s()) > 0:
            await self._clock.sleep(left_s)

    def left_s(self) -> float:
        """Return seconds of quiet that are left."""
        return max(0, self._quiet_until_us - self._clock.monotonic_us()) / 1e6

    def heed(self, error: BaseException) -> None:
        """Take note where `error` says that the exchange wants quiet."""
        if classify(error) is Fault.PAUSE:
            until_us = self._clock.monotonic_us() + int(self._retry_after_s() * 1e6)
            self._quiet_until_us = max(self._quiet_until_us, until_us)

    def _retry_after_s(self) -> float:
        headers = getattr(self._exchange, "last_response_headers", None) or {}
        for name, value in headers.items():
            if str(name).lower() == "retry-after":
                try:
                    return min(max(float(value), 0.0), _RETRY_AFTER_MAX_S)
                except ValueError:  # an HTTP date: the default is as good
                    break
        return RETRY_AFTER_S
