"""guard's REST requests of one exchange pass here: within a share of its budget, none while it asks for quiet. Imports ccxt."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import ccxt

from guard.errors import RateLimited, Unavailable
from guard_ccxt.connections.faults import Fault, classify, translated
from guard_ccxt.rest.answers import lowered, reading, retry_after_s
from guard_ccxt.rest.budget import Budget, Priority
from guard_ccxt.rest.quiet import Quiet
from guard_ccxt.rest.quota import quota_of, weight_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from guard.model.ports import Clock

__all__ = ["Priority", "Rest"]

_PAGE = 1000
_REFUSALS = frozenset({418, 429})
_LOOK_MAX_S = 1.0
# A repair that comes later is of no use: live trades are held back for it. Tickers and audits come again with the next poll.
_PATIENCE_S = {Priority.REPAIR: 5.0, Priority.TICKERS: 60.0, Priority.AUDIT: 20.0}
_TURN_MAX_S = 3.0  # a repair that would not get its turn by then is refused at once: what it holds back must go on
_BOOK = re.compile("depth|book|level2", re.IGNORECASE)
_priority: ContextVar[Priority] = ContextVar("guard_rest_priority", default=Priority.SNAPSHOT)
_cost: ContextVar[object] = ContextVar("guard_rest_cost", default=None)
_rank: ContextVar[float] = ContextVar("guard_rest_rank", default=0.0)
_noted: ContextVar[list[int] | None] = ContextVar("guard_rest_noted", default=None)


class Rest:
    """The REST budget of one exchange, over ccxt's own rate limiter.

    Parameters
    ----------
    exchange
        A ccxt instance; `install` makes its requests pass here.
    clock
        Injected.
    concurrent
        Requests under way at once beside snapshots, > 0.
    share, stop_at
        The parts of the exchange's documented budget that guard may use, and at which it stops where the whole address used that
        much; both in (0, 1].
    note
        Told once of what people should know.

    Notes
    -----
    `asking_types` are the types of market whose books are seen to begin with a request: see `guard_ccxt.connections.snapshots`.

    Every HTTP request of an instance it is installed in waits for its turn here, also those that ccxt makes by itself. What a
    request is for is known by who made it: `call` and `page` say so, all else is a snapshot.
    """

    def __init__(
        self,
        exchange: Any,
        clock: Clock,
        *,
        concurrent: int = 4,
        share: float = 0.2,
        stop_at: float = 0.5,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._note = note
        self.budget = Budget(quota_of(exchange), share=share, concurrent=concurrent)
        self._state = Quiet(stop_at=stop_at)
        self.asking_types: set[str] = set()
        self._turns: dict[int, asyncio.Future[None]] = {}
        self._changed = asyncio.Event()
        self._dispatcher: asyncio.Task[None] | None = None
        self._pages: dict[str, int | None] = {}
        self._book_weight = 0.0
        self._books_due = 0

    async def call(
        self,
        doing: str,
        request: Callable[..., Awaitable[Any]],
        *arguments: Any,
        priority: Priority = Priority.SNAPSHOT,
        rank: float = 0.0,
        **named: Any,
    ) -> Any:
        """Return the answer of `request`; raises Disconnected or RateLimited, telling what it was `doing`.

        Those of one priority go by `rank`, the highest first.
        """
        token, rank_token = _priority.set(priority), _rank.set(rank)
        try:
            async with asyncio.timeout(_PATIENCE_S.get(priority)):
                return await request(*arguments, **named)
        except TimeoutError as error:
            raise RateLimited(f"{doing}: no turn within guard's REST share", retry_after_s=self.left_s()) from error
        except (ccxt.BaseError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise translated(error, doing, retry_after_s=self.left_s()) from error
        finally:
            _priority.reset(token)
            _rank.reset(rank_token)

    async def page(
        self,
        doing: str,
        request: Callable[..., Awaitable[Any]],
        *arguments: Any,
        parameters: Any = None,
        priority: Priority = Priority.REPAIR,
        rank: float = 0.0,
    ) -> Any:
        """Return up to 1000 rows of `request`, or as many as the exchange gives by default once it refused that many.

        `arguments` are those before ccxt's ``limit`` and ``params``. Raises Unavailable.
        """
        name = str(getattr(request, "__name__", request))
        limit = self._pages.get(name, _PAGE)
        try:
            return await self.call(doing, request, *arguments, limit, parameters or {}, priority=priority, rank=rank)
        except RateLimited:
            raise
        except Unavailable:
            if limit is None:
                raise
            answer = await self.call(doing, request, *arguments, None, parameters or {}, priority=priority, rank=rank)
            self._pages[name] = None
            return answer

    def join(self, exchange: Any, *, share: float, stop_at: float, note: Callable[[str], None]) -> None:
        """Let another connector of this exchange ask here too: the smaller share counts, and from now on it is told."""
        self._exchange, self._note = exchange, note
        self.budget.narrow(share)
        self._state.narrow(stop_at)

    def leave(self, exchange: Any) -> None:
        """Forget an instance that is closed; what it used and what it was asked for is kept."""
        if self._exchange is exchange:
            self._exchange = None

    def install(self, exchange: Any = None) -> None:
        """Make the requests of a ccxt instance pass here; several instances of one exchange may share it."""
        exchange = self._exchange if exchange is None else exchange
        stock_fetch, stock_throttle, stock_answer = exchange.fetch, exchange.throttle, exchange.on_rest_response

        async def throttle(cost: object = None) -> None:
            _cost.set(cost)

        async def fetch(url: str, *arguments: Any, **named: Any) -> Any:
            cost = _cost.get()
            _cost.set(None)
            noted: list[int] = []
            token = _noted.set(noted)
            weight = weight_of(exchange.id, url, cost, self.budget.limit.unit)
            if _priority.get() is Priority.SNAPSHOT and _BOOK.search(urlsplit(url).path):
                self._book_weight = weight
            try:
                async with self._turn(weight):
                    await stock_throttle(cost)
                    return await stock_fetch(url, *arguments, **named)
            except ccxt.BaseError as error:
                if not noted:
                    self.heed(error)
                raise
            finally:
                _noted.reset(token)

        def on_rest_response(code: int, reason: Any, url: str, *rest: Any) -> Any:
            self._answered(code, url, *rest[1:3])
            return stock_answer(code, reason, url, *rest)

        exchange.throttle, exchange.fetch, exchange.on_rest_response = throttle, fetch, on_rest_response

    async def quiet(self) -> None:
        """Wait until the exchange may be asked again."""
        while (left_s := self.quiet_s()) > 0:
            await self._clock.sleep(left_s)

    def quiet_s(self) -> float:
        """Return seconds for which the exchange may not be asked."""
        return self._state.left_s(self._clock.monotonic_us())

    def refuse_long(self, doing: str, *, most_s: float) -> None:
        """Raise RateLimited where the exchange is known to be quiet for longer than `most_s`."""
        left_s = self.quiet_s()
        if left_s > most_s:
            why = self._state.why(self._clock.monotonic_us())
            raise RateLimited(f"{doing}: REST pauses for {left_s:.0f} s, {why}", retry_after_s=left_s)

    def expect_books(self, more: int) -> None:
        """Note that so many `more` (or fewer, below 0) books are about to need a snapshot: nothing else takes their place."""
        self._books_due += more
        self.budget.reserve(self._books_due * self._book_weight)

    def left_s(self) -> float:
        """Return seconds for which no snapshot can come: quiet that is left, or a second where snapshots wait for their turn."""
        left_s = self._state.left_s(self._clock.monotonic_us())
        return max(left_s, _LOOK_MAX_S) if self.budget.waiting(Priority.SNAPSHOT) else left_s

    def heed(self, error: BaseException) -> None:
        """Take note where `error` says that the exchange wants quiet."""
        if classify(error) is Fault.PAUSE:
            headers = lowered(getattr(self._exchange, "last_response_headers", None))
            self._refused(0, retry_after_s(headers, str(error), now_us=self._clock.now_us()))

    def record(self) -> dict[str, Any]:
        """Return how the budget stands, JSON-able: weights are those of a minute."""
        now_us, budget = self._clock.monotonic_us(), self.budget
        return {
            "used": round(budget.used(now_us), 2),
            "share": round(budget.most, 2),
            "limit": round(budget.limit.per_minute, 2),
            **self._state.record(now_us),
            "waiting": {priority.name.lower(): budget.waiting(priority) for priority in Priority},
            "requests": {priority.name.lower(): number for priority, number in budget.requests.items()},
            "weight": round(budget.weight, 2),
        }

    def _answered(self, code: int, url: str, headers: Any, body: Any) -> None:
        given, now_us = lowered(headers), self._clock.now_us()
        if code in _REFUSALS:
            noted = _noted.get()
            if noted is not None:
                noted.append(code)
            self._refused(code, retry_after_s(given, str(body), now_us=now_us))
            return
        found = reading(given, host=urlsplit(url).hostname or "", limit=self.budget.limit.weight, now_us=now_us)
        if found is None:
            self._state.answered(self._clock.monotonic_us())
        elif self._state.read(found, self._clock.monotonic_us()):
            self._note(f"REST stops for a while: {self._state.why(self._clock.monotonic_us())}, streams go on")
        self._changed.set()

    def _refused(self, code: int, asked_s: float | None) -> None:
        now_us = self._clock.monotonic_us()
        if self._state.refuse(code, asked_s, now_us):
            self._note(f"REST pauses for {self._state.left_s(now_us):.0f} s: {self._state.why(now_us)}, streams go on")

    @asynccontextmanager
    async def _turn(self, weight: float) -> AsyncIterator[None]:
        try:
            number = self.budget.ask(_priority.get(), weight, self._clock.monotonic_us(), rank=_rank.get())
        except ValueError as error:
            raise ccxt.ExchangeNotAvailable(f"{error}; raise rest_share") from error
        turn = self._turns[number] = asyncio.get_running_loop().create_future()
        try:
            self._grant()
            if not turn.done():
                self._dispatch()
            await turn
            yield
        finally:
            del self._turns[number]
            self.budget.drop(number)
            self.budget.end(number, self._clock.monotonic_us())
            self._changed.set()

    def _grant(self) -> None:
        now_us = self._clock.monotonic_us()
        quiet_s = self._state.left_s(now_us)
        self._refuse_repairs(now_us, within_s=_TURN_MAX_S if quiet_s < _TURN_MAX_S else -1.0)
        if quiet_s > 0:
            return
        most = max(0, 1 - self.budget.under_way()) if self._state.is_probing else 1 << 30
        for number in self.budget.grant(now_us, most=most):
            turn = self._turns.get(number)
            if turn is None or turn.done():
                self.budget.end(number, now_us)
            else:
                turn.set_result(None)

    def _refuse_repairs(self, now_us: int, *, within_s: float) -> None:
        for number in self.budget.hopeless(Priority.REPAIR, now_us, within_us=int(within_s * 1e6)):
            turn = self._turns.get(number)
            self.budget.drop(number)
            if turn is not None and not turn.done():
                turn.set_exception(RateLimited("no turn within guard's REST share", retry_after_s=self.left_s()))

    def _dispatch(self) -> None:
        if self._dispatcher is None or self._dispatcher.done():
            self._dispatcher = asyncio.create_task(self._grant_on(), name="rest turns")

    async def _grant_on(self) -> None:
        # One task for all who wait; it ends with the last of them.
        while self._turns and self.budget.waiting():
            self._changed.clear()
            sleeping = asyncio.ensure_future(self._clock.sleep(self._look_s()))
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({sleeping, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (sleeping, changed):
                    each.cancel()
                    with suppress(asyncio.CancelledError):
                        await each
            self._grant()

    def _look_s(self) -> float:
        now_us = self._clock.monotonic_us()
        frees_us = self.budget.frees_us()
        left_s = self._state.left_s(now_us)
        until_s = _LOOK_MAX_S if frees_us is None else max(0.0, (frees_us - now_us) / 1e6)
        return min(max(left_s, until_s, 0.001), _LOOK_MAX_S)
