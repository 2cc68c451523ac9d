"""Gives markets their past beside their streams: a few at a time, asked for again where it could not be had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from guard.model import Market
    from guard.model.ports import Clock, Connector, Sink

__all__ = ["Warming"]

_log = structlog.get_logger(__name__)
_AT_ONCE = 4
_TRIES_MAX = 4
_AGAIN_S = 30.0
_PROBLEM_MAX = 300
_WAITS = "its turn has not come"


class Warming:
    """The past of one exchange's markets, fetched in the order given: the busiest first.

    Parameters
    ----------
    exchange
        Its name, for the log.
    sink, clock
        Where the rows go, and time.
    has_past
        Whether a market, by its row, knows its past already, so that none is fetched.

    Attributes
    ----------
    missing
        Markets without their past, and why.
    warmed
        How many got it.
    glanced
        Set when all had a glance at their last minutes, or the connector has none: what streams then need not wait longer.

    Notes
    -----
    First each gets its last minutes, where the connector has a `glance(market, row, sink)`: one request, before it streams.

    A past that comes after the first live trade is cut there by the kernel, and none of it is counted twice. A market whose past
    cannot be had is asked for again after 30, 60 and 120 s, when all others had their turn.
    """

    def __init__(self, exchange: str, *, sink: Sink, clock: Clock, has_past: Callable[[int], bool] = lambda _row: False) -> None:
        self.missing: dict[str, str] = {}
        self.warmed = 0
        self.glanced = asyncio.Event()
        self._done: set[int] = set()
        self._exchange = exchange
        self._sink = sink
        self._clock = clock
        self._has_past = has_past

    async def run(
        self,
        connector: Connector,
        rows: Mapping[Market, int],
        *,
        history_us: int,
        is_wanted: Callable[[Market], bool] = lambda _market: True,
    ) -> None:
        """Warm `rows` with the last `history_us`; those that are no longer wanted when their turn comes are left out."""
        wanted = {market: row for market, row in rows.items() if self._wants(row)} if history_us else {}
        self.missing |= {str(market): _WAITS for market in wanted}
        await self._glance(connector, wanted)
        for tries in range(_TRIES_MAX):
            if tries:
                await self._clock.sleep(_AGAIN_S * 2 ** (tries - 1))
            wanted = await self._round(connector, wanted, history_us, is_wanted)
            if not wanted:
                return
        _log.warning("no history", exchange=self._exchange, markets=len(wanted), error=self.missing[str(next(iter(wanted)))])

    async def until_glanced(self) -> None:
        """Wait until all markets of the first `run` had their glance."""
        await self.glanced.wait()

    def _wants(self, row: int) -> bool:
        return row not in self._done and not self._has_past(row)

    async def _glance(self, connector: Connector, rows: Mapping[Market, int]) -> None:
        """Give each market its last minutes, where the connector can, and tell who waits for that to be over."""
        glance: Callable[[Market, int, Sink], Awaitable[None]] | None = getattr(connector, "glance", None)
        waiting = iter(rows.items())

        async def work(glance: Callable[[Market, int, Sink], Awaitable[None]]) -> None:
            for market, row in waiting:
                try:
                    await glance(market, row, self._sink)
                except GuardError as error:
                    self.missing[str(market)] = str(error)[:_PROBLEM_MAX]
                except Exception as error:  # noqa: BLE001 - as below
                    _log.warning("no glance at the last minutes", market=str(market), error=str(error), exc_info=True)

        try:
            if glance is not None and rows:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(_AT_ONCE):
                        tasks.create_task(work(glance))
        finally:
            self.glanced.set()

    def forget(self, markets: Iterable[Market]) -> None:
        """Leave out markets that are no longer watched."""
        for market in markets:
            self.missing.pop(str(market), None)

    async def _round(
        self, connector: Connector, rows: Mapping[Market, int], history_us: int, is_wanted: Callable[[Market], bool]
    ) -> dict[Market, int]:
        """Ask once for each market and return those that may be asked for again."""
        waiting = iter(rows.items())
        failed: dict[Market, int] = {}

        async def work() -> None:
            for market, row in waiting:
                if not is_wanted(market):
                    self.missing.pop(str(market), None)
                elif not await self._warm(connector, market, row, history_us):
                    failed[market] = row

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(work())
        return failed

    async def _warm(self, connector: Connector, market: Market, row: int, history_us: int) -> bool:
        name = str(market)
        try:
            await connector.history(market, row, self._sink, since_us=self._clock.now_us() - history_us)
        except GuardError as error:
            self.missing[name] = str(error)[:_PROBLEM_MAX]
            return False
        except Exception as error:  # noqa: BLE001 - no past is a pity; no stream because of that would be a silent guard
            self.missing[name] = f"{type(error).__name__}: {error}"[:_PROBLEM_MAX]
            _log.warning("no history", market=name, error=self.missing[name], exc_info=True)
            return True
        self.missing.pop(name, None)
        self.warmed += 1
        self._done.add(row)
        return True
