"""Requests to subscribe that wait for their turn become one, where the exchange takes several symbols in one topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

__all__ = ["Batches"]

_LINGER_S = 0.2  # ccxt hands requests over one by one, at a pace of its own
_UNANSWERED_MAX = 1000
_CHANNELS = frozenset({"/market/match", "/market/level2", "/contractMarket/execution", "/contractMarket/level2"})


class _Waiting(NamedTuple):
    request: Mapping[str, Any]
    sent: asyncio.Future[None]

    @property
    def channel(self) -> str:
        return str(self.request["topic"]).partition(":")[0]

    @property
    def symbol(self) -> str:
        return str(self.request["topic"]).partition(":")[2]


class Batches:
    """The requests of one connection in KuCoin's words, ``{id, type, topic: "/market/match:A-USDT", ...}``.

    Parameters
    ----------
    send
        Sends a request.
    turn
        Waits until another may be sent.
    sleep
        The clock's.
    most
        Symbols in one topic, > 0.

    Notes
    -----
    ccxt never knows: each of its calls asked for one symbol and hears the answer to its own id, so each stream keeps a life of its
    own. A batch that is refused is asked for again one by one, since one symbol may be at fault for all of them.
    """

    def __init__(
        self,
        send: Callable[[Any], Awaitable[Any]],
        turn: Callable[[], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]],
        most: int,
    ) -> None:
        self._send = send
        self._turn = turn
        self._sleep = sleep
        self._most = most
        self._waiting: list[_Waiting] = []
        self._asked: dict[str, list[Mapping[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushing: asyncio.Task[None] | None = None

    def takes(self, message: Any) -> bool:
        """Whether a request may be sent along with others."""
        if not isinstance(message, dict) or message.get("type") != "subscribe" or not message.get("response"):
            return False
        channel, _, symbol = str(message.get("topic")).partition(":")
        return channel in _CHANNELS and bool(symbol) and "," not in symbol

    async def put(self, request: Mapping[str, Any]) -> None:
        """Return once `request` was sent, with others or alone; raises what sending raises."""
        one = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._flushing is None or self._flushing.done():
            self._flushing = self._work(self._flush())
        try:
            await one.sent
        finally:
            if one in self._waiting:
                self._waiting.remove(one)

    def answers(self, message: Any) -> Iterable[Any]:
        """Return what ccxt should hear in place of `message`: an answer to each request that it answers."""
        identity = str(message.get("id")) if isinstance(message, dict) else ""
        requests = self._asked.pop(identity, None)
        if requests is None:
            return (message,)
        if message.get("type") == "ack":
            return [{**message, "id": request["id"]} for request in requests]
        self._work(self._one_by_one(requests))
        return ()

    def close(self) -> None:
        """Send nothing more."""
        for task in self._tasks:
            task.cancel()

    def _work(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _flush(self) -> None:
        # Nothing suspends between the last look at who waits and the end: who comes later starts another one.
        try:
            await self._sleep(_LINGER_S)
            while self._waiting:
                await self._turn()
                if self._waiting:
                    await self._send_batch(self._next())
        finally:
            for one in self._waiting:
                one.sent.cancel()

    def _next(self) -> list[_Waiting]:
        channel = self._waiting[0].channel
        batch = [one for one in self._waiting if one.channel == channel][: self._most]
        self._waiting = [one for one in self._waiting if one not in batch]
        return batch

    async def _send_batch(self, batch: list[_Waiting]) -> None:
        request = batch[0].request
        if len(batch) > 1:
            self._asked[str(request["id"])] = [one.request for one in batch]
            if len(self._asked) > _UNANSWERED_MAX:
                del self._asked[next(iter(self._asked))]
            request = {**request, "topic": f"{batch[0].channel}:{','.join(one.symbol for one in batch)}"}
        error: BaseException | None = asyncio.CancelledError()
        try:
            await self._send(request)
            error = None
        except Exception as failed:  # noqa: BLE001  # each of those who wait must hear of it
            error = failed
        finally:
            for one in batch:
                _settle(one.sent, error)

    async def _one_by_one(self, requests: list[Mapping[str, Any]]) -> None:
        for request in requests:
            await self._turn()
            try:
                await self._send(request)
            except (OSError, RuntimeError):
                return  # the connection ended, and with it the streams


def _settle(sent: asyncio.Future[None], error: BaseException | None) -> None:
    if sent.done():
        return
    if error is None:
        sent.set_result(None)
    elif isinstance(error, asyncio.CancelledError):
        sent.cancel()
    else:
        sent.set_exception(error)
