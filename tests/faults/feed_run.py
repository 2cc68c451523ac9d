"""A connector over an embedded exchange in one loop, through one fault after another."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp.test_utils import TestServer
from faults.feed_truth import FRESH_US, Heard

from guard.model import Market
from guard.model.ports import ConnectorContext
from guard.runtime.clock import SystemClock, seeded_random
from guard_ccxt import CcxtConnector
from guard_ccxt.connections.backoff import Backoff
from guard_ccxt.rest import quiet
from guard_sim.chance import chance as seeded
from guard_sim.coins import chosen
from guard_sim.dialects import ccxt_options
from guard_sim.server.clock import now_us
from guard_sim.server.exchange import Exchange
from guard_sim.server.faults import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random  # noqa: TID251 - a type

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "MOON/USDT")
# A minute of the connector's own patience is two seconds here, so that a fault and its mending fit into a few.
# So are the waits between attempts, which a minute of data ends elsewhere.
HASTE = {"first_s": 0.1, "most_s": 2.0, "settled_s": 2.0}
# And what an exchange wants after it refused: seconds without Retry-After, for a ban, at most; microseconds until it is forgiven.
QUIET = {"RETRY_AFTER_S": 1.0, "_BAN_S": 4.0, "_PAUSE_MAX_S": 20.0, "_BAN_MAX_S": 20.0, "_FORGIVEN_US": 20_000_000}
STEADY_S = 3.0
# Two seconds are little where other work holds the machine up: PACE=3 waits for three times as long before a silence counts.
PACE = float(os.environ.get("PACE") or 1.0)
PATIENCE: dict[str, float] = {
    "stall_after_s": 2.0 * PACE,
    "first_event_s": 2.0 * PACE,
    "ticker_poll_s": 2.0,
    "repair_delay_s": 0.1,
    "dials_per_minute": 1000,
    # Tickers are asked for thirty times as often as elsewhere: what is left of the share is as much as elsewhere.
    "rest_share": 0.6,
    "rest_stop_at": 0.9,
}
LIVE_MAX_S = 45.0 * PACE
NOTICE_MAX_S = 15.0
LEARN_S = 8.0  # busy markets show by then that their ids count up by one


class Outcome(NamedTuple):
    """How one fault went: what was wrong afterwards, and how long it took until everything was live again."""

    fault: str
    wrong: tuple[str, ...]
    live_s: float


class Run:
    """One connector and its exchange."""

    def __init__(self, exchange: Exchange, connector: CcxtConnector, heard: Heard) -> None:
        self.exchange = exchange
        self.connector = connector
        self.heard = heard
        self.told: set[str] = set()
        self.offset_us = 0

    async def settle(self) -> float:
        """Wait until everything is live; return how long it took, or what still is not as an AssertionError."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while left := self.heard.not_live():
            if loop.time() - start > LIVE_MAX_S:
                raise AssertionError("; ".join(left))
            await asyncio.sleep(0.1)
        return loop.time() - start

    def _standing(self) -> str:
        # What people who look for the cause would ask first.
        session = self.connector._session
        assert session is not None
        found = []
        for key, one in session._subscriptions.items():
            shard = session.fleet.shard_of(one)
            task = None if shard is None else shard.supervisor._tasks.get(key)
            state = "none" if one.connection is None else one.connection.state
            silence = None if session._poll is None else session._poll.silences.get(one)
            looks = "" if silence is None else f" looks {silence._strikes} of {1 << max(0, silence._wrong - 1)}"
            found.append(f"{one.symbol} {one.channel.name} {one.phase.name} {one.misses} on {state} in {waits_in(task)}{looks}")
        return ", ".join(found)

    async def _judged(self) -> list[str]:
        # A stream that is deaf on a connection that lives shows at the next look at the tickers: what is missing is marked then.
        loop = asyncio.get_running_loop()
        until = loop.time() + NOTICE_MAX_S
        until_us = self.exchange.now_us() - FRESH_US
        while True:
            faults = self.heard.faults(tolerance_us=self.offset_us, until_us=until_us)
            wrong = [text for text in faults if text.partition(" (")[0] not in self.told]
            is_over = loop.time() > until and (not self.heard.not_live() or loop.time() > until + LIVE_MAX_S)
            if not any("missing" in text for text in wrong) or is_over:
                return wrong
            await asyncio.sleep(0.5)

    async def suffer(self, name: str, plan: list[Fault]) -> Outcome:
        """Let the faults of `plan` happen, wait for the end of them and for everything to be live, and judge."""
        for fault in plan:
            self.exchange.suffer(fault)
            if fault.kind == "clock":
                self.offset_us = max(self.offset_us, abs(int(fault.value * 1e6)))
        await asyncio.sleep(max(fault.for_s for fault in plan))
        live_s, wrong = LIVE_MAX_S, []
        try:
            live_s = await self.settle()
        except AssertionError as error:
            health = self.connector.health()
            rest = health.details["rest"]
            about = f"connections {sorted(health.connections.values())}; REST {rest['paused_s']} s {rest['why']} {rest['waiting']}"
            about += f"; {self._standing()}"
            wrong.append(f"not live again: {error} ({about}; notes: {'; '.join(health.notes[-6:])})")
        await asyncio.sleep(STEADY_S)
        wrong += [f"{text} [{self._standing()}]" for text in await self._judged()]
        self.told.update(text.partition(" (")[0] for text in wrong)
        return Outcome(name, tuple(wrong), live_s)


def said(about: dict[str, Any]) -> str:
    """Return what a loop says of an error that nobody caught, and whose it was."""
    of = about.get("task") or about.get("future") or about.get("handle")
    return f"{about.get('message')}: {about.get('exception')!r} of {of!r:.200}"


def waits_in(task: asyncio.Task[None] | None) -> str:
    """Return the functions that a task waits in, the last ones of them."""
    names: list[str] = []
    frame: Any = None if task is None else task.get_coro()
    while frame is not None and hasattr(frame, "cr_await"):
        names.append(frame.__name__)
        frame = frame.cr_await
    return ">".join(names[-3:]) or "nothing"


def hasten() -> None:
    """Let a minute of guard's waits pass in two seconds, in this process."""
    Backoff.__init__.__kwdefaults__.update(HASTE)
    for name, value in QUIET.items():
        setattr(quiet, name, value)


@asynccontextmanager
async def running(dialect: str, *, seed: int, options: dict[str, Any] | None = None) -> AsyncIterator[Run]:
    """Start an exchange and a connector that streams four of its markets."""
    exchange = Exchange(coins=chosen(list(SYMBOLS)), seed=seed, schedule="calm", now_us=now_us, dialect=dialect)
    server = TestServer(exchange.app())
    await server.start_server()
    living = asyncio.create_task(exchange.run())
    rows = {symbol: row for row, symbol in enumerate(SYMBOLS)}
    heard = Heard(exchange, rows)
    address = f"127.0.0.1:{server.port}"
    urls = {"rest": f"http://{address}", "ws": f"ws://{address}{exchange.websocket}"}
    with tempfile.TemporaryDirectory() as folder:
        context = ConnectorContext(
            name=dialect,
            options={**ccxt_options(dialect, urls), **PATIENCE, **(options or {})},
            streams=frozenset({"trades", "book"}),
            clock=SystemClock(),
            random=seeded_random(seed),
            cache_folder=folder,
            report=lambda _: None,
        )
        connector = CcxtConnector(context)
        streaming: asyncio.Task[None] | None = None
        try:
            await connector.open()
            streaming = asyncio.create_task(connector.stream({Market(dialect, symbol): row for symbol, row in rows.items()}, heard))
            run = Run(exchange, connector, heard)
            await run.settle()
            await asyncio.sleep(LEARN_S)
            yield run
        finally:
            if streaming is not None:
                streaming.cancel()
                with suppress(asyncio.CancelledError):
                    await streaming
            await connector.close()
            living.cancel()
            exchange.hub.drop(None)
            await server.close()


def _seconds(chance: Random, least: float, most: float) -> float:
    return round(chance.uniform(least, most), 2)


def _symbol(chance: Random) -> str | None:
    return chance.choice((None, *(symbol.replace("/", "") for symbol in SYMBOLS)))


def _busy(chance: Random) -> str:
    return chance.choice(SYMBOLS[:3]).replace("/", "")


def _cut(chance: Random) -> Fault:
    return Fault("drop", None, 0.1) if chance.random() < 0.7 else Fault("close", None, 0.1, 1001)


def _alone(kind: str, least: float = 0.1, most: float = 0.3) -> Callable[[Random], list[Fault]]:
    return lambda chance: [Fault(kind, _symbol(chance), _seconds(chance, least, most))]


def _closed(code: int) -> Callable[[Random], list[Fault]]:
    return lambda chance: [Fault("close", _symbol(chance), 0.1, code)]


def _with_cut(kind: str, least: float, most: float, value: float = 0.0) -> Callable[[Random], list[Fault]]:
    def plan(chance: Random) -> list[Fault]:
        return [Fault(kind, None, _seconds(chance, least, most), value, chance.random() < 0.5), _cut(chance)]

    return plan


def _clock(chance: Random) -> list[Fault]:
    return [Fault("clock", None, _seconds(chance, 1.0, 3.0), chance.choice((-1, 1)) * _seconds(chance, 0.3, 20.0))]


PLANS: dict[str, Callable[[Random], list[Fault]]] = {
    "drop": _alone("drop"),
    "close_1000": _closed(1000),
    "close_1001": _closed(1001),
    "close_1006": _closed(1006),
    "close_1008": _closed(1008),
    "half_open": _alone("half_open", 3.0, 4.0),
    "lifetime": lambda chance: [Fault("lifetime", None, _seconds(chance, 2.0, 4.0), _seconds(chance, 0.8, 1.5))],
    "silent": lambda chance: [Fault("silent", _busy(chance), _seconds(chance, 0.5, 5.0))],
    "mute": lambda chance: [Fault("mute", None, _seconds(chance, 0.5, 5.0))],
    "unacknowledged": lambda chance: [
        Fault("unacknowledged", _symbol(chance), _seconds(chance, 1.0, 5.0)),
        Fault("drop", None, 0.1),
    ],
    "skip_sequence": _alone("skip_sequence", 0.5, 1.0),
    "skip_trades": lambda chance: [Fault("skip_trades", _busy(chance), _seconds(chance, 1.0, 2.0))],
    "duplicate": _alone("duplicate"),
    "late": _alone("late", 0.3, 2.0),
    "burst": lambda chance: [Fault("burst", _busy(chance), 0.2, chance.choice((50, 500, 3000)))],
    "malformed": _alone("malformed"),
    "null_fields": _alone("null_fields"),
    "http_429": _with_cut("http_429", 0.5, 3.0),
    "http_418": _with_cut("http_418", 0.5, 3.0),
    "http_503": _with_cut("http_503", 0.5, 3.0),
    "slow_rest": _with_cut("slow_rest", 1.0, 3.0, value=1.5),
    "clock": _clock,
    "refuse_429": _with_cut("refuse_429", 0.5, 3.0),
    "refuse_503": _with_cut("refuse_503", 0.5, 3.0),
    "expire_token": _with_cut("expire_token", 0.1, 0.2),
}


async def through(
    dialect: str,
    names: list[str],
    *,
    seed: int,
    on_outcome: Callable[[Outcome], None],
    options: dict[str, Any] | None = None,
) -> list[str]:
    """Lead one connector through the faults called `names`, in an order of the seed's; return what nobody caught meanwhile.

    Where the loop has a handler of what nobody catches, that one is told instead.
    """
    loop = asyncio.get_running_loop()
    uncaught: list[str] = []
    if loop.get_exception_handler() is None:
        loop.set_exception_handler(lambda _, about: uncaught.append(said(about)))
    chance = seeded(seed, dialect)
    order = list(names)
    chance.shuffle(order)
    hasten()
    async with running(dialect, seed=seed, options=options) as run:
        for name in order:
            on_outcome(await run.suffer(name, PLANS[name](chance)))
    gc.collect()
    await asyncio.sleep(0)
    return uncaught
