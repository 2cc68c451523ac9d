"""Small factories, a clock that a test moves, a store in a dict, and local servers that misbehave on command."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.model import (
    Contribution,
    Delivery,
    DeliveryState,
    Finding,
    Hold,
    IsolationState,
    Level,
    Market,
    Mode,
    Quarantine,
    RiskScore,
    RuleMode,
    Target,
    TargetKind,
    Transition,
    Verdict,
    quarantine_id,
)
from guard.model.ports import LedgerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from guard.model import Decision

Answer = tuple[int, dict[str, str], bytes] | str
DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
MINUTE_US = 60_000_000


def verdict(
    symbol: str = "X/USDT",
    level: Level = Level.DANGER,
    *,
    at_us: int = START_US,
    previous: Level = Level.NORMAL,
    rule: str = "pump_dump",
    mode: RuleMode = RuleMode.ENFORCE,
    episode_us: int | None = None,
) -> Verdict:
    market = Market("sim", symbol)
    return Verdict(
        at_us=at_us,
        market=market,
        rule=rule,
        level=level,
        previous=previous,
        mode=mode,
        risk=RiskScore(
            0.84,
            (
                Contribution("price_volatility", 0.3, 0.9, 0.27),
                Contribution("volume_anomaly", 0.3, 0.95, 0.285),
                Contribution("order_book", 0.2, None, 0.0, "unknown"),
            ),
        ),
        findings=(Finding(at_us, market, rule, "pump_dump", 0.91, {"ret(60s)": 0.041, "buy_share(60s)": None}),),
        episode_us=at_us if episode_us is None else episode_us,
    )


def transition(
    symbol: str = "X/USDT",
    state: IsolationState = IsolationState.QUARANTINED,
    *,
    at_us: int = START_US,
    previous: IsolationState = IsolationState.NORMAL,
    cause: str = "rule",
    level: Level = Level.DANGER,
    zone: str = "",
    opened_us: int = START_US,
    rule: str = "pump_dump",
) -> Transition:
    market = Market("sim", symbol)
    target = Target(TargetKind.MARKET, str(market))
    hold = Hold(rule, market, target, level, "", 30 * MINUTE_US, DAY_US, release_for_us=10 * MINUTE_US, zone=zone)
    until_us = opened_us + 30 * MINUTE_US
    quarantine = Quarantine(quarantine_id(rule, target, opened_us), hold, state, opened_us, until_us, until_us, 0)
    return Transition(at_us, quarantine, previous, cause, "guard", "")


def channel(name: str = "slack", *levels: Level, daily_max: int = 10) -> ChannelPolicy:
    return ChannelPolicy(name, frozenset(levels or (Level.DANGER, Level.CRITICAL)), daily_max=daily_max)


def policy(*channels: ChannelPolicy, mode: Mode = Mode.ENFORCE) -> AlertPolicy:
    return AlertPolicy(channels or (channel(),), mode=mode)


def delivery(
    name: str = "1", *, channel: str = "hook", due_us: int = START_US, ttl_us: int = 3_600_000_000, **changes: object
) -> Delivery:
    made = Delivery(
        id=f"id-{name}",
        alert_id=f"alert-{name}",
        channel=channel,
        kind="quarantine",
        level=Level.DANGER,
        title="[DANGER] sim:X/USDT quarantined by pump_dump",
        body="Level danger\nBlocked: entries only; exits always pass",
        created_us=due_us,
        due_us=due_us,
        expires_us=due_us + ttl_us,
    )
    return made._replace(**changes)  # type: ignore[arg-type]


class MovedClock:
    """Time stands still until `advance`; sleepers wake in order."""

    def __init__(self, now_us: int = START_US) -> None:
        self._now_us = now_us
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = 0

    def now_us(self) -> int:
        return self._now_us

    def monotonic_us(self) -> int:
        return self._now_us

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number += 1
        heapq.heappush(self._sleepers, (self._now_us + int(seconds * 1_000_000), self._number, future))
        await future

    async def advance(self, seconds: float) -> None:
        end_us = self._now_us + int(seconds * 1_000_000)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end_us:
            at_us, _, future = heapq.heappop(self._sleepers)
            self._now_us = max(self._now_us, at_us)
            if not future.done():
                future.set_result(None)
                await settle()
        self._now_us = end_us
        await settle()


async def settle(turns: int = 30) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Half:
    """Chance without chance."""

    def random(self) -> float:
        return 0.5


class DictStore:
    """The outbox part of the Store contract in memory; `fail_settle` refuses the next settles."""

    def __init__(self, *deliveries: Delivery) -> None:
        self.rows = {each.id: each for each in deliveries}
        self.fail_settle = 0
        self.fail_due = 0
        self.settled: list[Delivery] = []

    def add(self, *deliveries: Delivery) -> None:
        for each in deliveries:
            self.rows.setdefault(each.id, each)

    async def open(self) -> LedgerState:
        return await self.load()

    async def close(self) -> None:
        return None

    async def load(self) -> LedgerState:
        return LedgerState(1, 1, (), tuple(each for each in self.rows.values() if each.state is DeliveryState.PENDING))

    async def commit(self, decisions: Sequence[Decision], *, epoch: int) -> int:
        del epoch
        for decision in decisions:
            self.add(*decision.deliveries)
        return 1

    async def changes(self, since: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        del since
        return ()

    async def audit(self, *, target: str | None = None, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        del target, limit
        return ()

    async def due(self, channel: str, *, now_us: int) -> Delivery | None:
        if self.fail_due:
            self.fail_due -= 1
            raise OSError("disk gone")
        ready = [
            each
            for each in self.rows.values()
            if each.channel == channel and each.state is DeliveryState.PENDING and each.due_us <= now_us
        ]
        return min(ready, key=lambda each: (each.created_us, each.id), default=None)

    async def settle(self, delivery: Delivery) -> None:
        if self.fail_settle:
            self.fail_settle -= 1
            raise OSError("disk full")
        self.rows[delivery.id] = delivery
        self.settled.append(delivery)

    async def outbox(self) -> Mapping[str, Mapping[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        for each in self.rows.values():
            states = counts.setdefault(each.channel, {})
            states[each.state.value] = states.get(each.state.value, 0) + 1
        return counts


class Hook:
    """A local HTTP server that records posts and answers as told: `answers` are used up first, then `usual`.

    An answer is (status, headers, body), ``"hang"`` (until the end of the test), ``"drip"`` (a byte now and then, so that no read
    ever times out) or ``"hang up"``.
    """

    def __init__(self, usual: Answer = (200, {}, b"ok")) -> None:
        self.usual = usual
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.end = threading.Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hook.requests.append((self.path, dict(self.headers), body))
                answer = hook.answers.pop(0) if hook.answers else hook.usual
                if answer == "hang":
                    hook.end.wait(20)
                    return
                if answer == "drip":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                    with contextlib.suppress(OSError):
                        while not hook.end.wait(0.02):
                            self.wfile.write(b"x")
                    return
                if answer == "hang up":
                    self.connection.close()
                    return
                status, headers, text = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                del format, args

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                del request, client_address

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.requests]

    def close(self) -> None:
        self.end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)


@contextlib.contextmanager
def serving(make: Callable[[], Hook] = Hook) -> Iterator[Hook]:
    hook = make()
    try:
        yield hook
    finally:
        hook.close()
