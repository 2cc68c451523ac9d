"""How many books begin at once, and how much REST is left to those that are about to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard_ccxt.rest import Rest

__all__ = ["Starts", "nothing"]

_MOST = 32  # KuCoin takes seconds for each: ccxt asks for its snapshot after a few changes


class Starts:
    """Lets so many books of a shard begin at once; the snapshots of all that want to are kept free in the REST share."""

    def __init__(self, rest: Rest, most: int = _MOST) -> None:
        self._rest = rest
        self._places = asyncio.Semaphore(most)

    async def turn(self) -> Callable[[], None]:
        """Wait until another book may begin; return what must be called once it has, or has failed: once or more."""
        self._rest.expect_books(1)
        try:
            await self._places.acquire()
        except BaseException:
            self._rest.expect_books(-1)
            raise
        is_held = True

        def let_next() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._places.release()
                self._rest.expect_books(-1)

        return let_next


def nothing() -> None:
    """Let nobody begin: what a stream that needs no turn calls."""
