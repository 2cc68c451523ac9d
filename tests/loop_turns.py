"""How often others get their turn of the event loop while something is done."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class LoopTurns:
    """Counts turns of the loop between entry and exit: `count`."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> Self:
        self._counting = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._counting.cancel()
        with suppress(asyncio.CancelledError):
            await self._counting

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)
