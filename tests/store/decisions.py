"""Small factories for decisions, and a clock that stands still until it is moved."""

import asyncio
from collections import deque

from quarantine.holds import MINUTE, ON_X, X, hold

from guard.model import (
    Contribution,
    Decision,
    Delivery,
    DeliveryState,
    Finding,
    IsolationState,
    Level,
    Quarantine,
    RiskScore,
    RuleMode,
    Target,
    TargetKind,
    Transition,
    Verdict,
    quarantine_id,
)

NOW = 1_700_000_000_000_000


class HandClock:
    """Time passes by `pass_time` only."""

    def __init__(self, now_us: int = NOW) -> None:
        self.us = now_us
        self.slept: list[float] = []
        self._sleepers: deque[tuple[int, asyncio.Future[None]]] = deque()

    def now_us(self) -> int:
        return self.us

    def monotonic_us(self) -> int:
        return self.us

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.us + int(seconds * 1e6), future))
        await future

    @property
    def sleepers(self) -> int:
        return sum(not future.done() for _, future in self._sleepers)

    def pass_time(self, seconds: float) -> None:
        self.us += int(seconds * 1e6)
        for due_us, future in self._sleepers:
            if due_us <= self.us and not future.done():
                future.set_result(None)
        self._sleepers = deque(each for each in self._sleepers if not each[1].done())


def quarantine(
    number: int = 0, *, state: IsolationState = IsolationState.QUARANTINED, until_us: int = NOW + 40 * MINUTE
) -> Quarantine:
    asked = hold(target=Target(TargetKind.MARKET, f"sim:C{number}/USDT") if number else ON_X)
    identity = quarantine_id(asked.rule, asked.target, NOW)
    return Quarantine(identity, asked, state, NOW, NOW + 30 * MINUTE, until_us, NOW + 24 * 60 * MINUTE)


def transition(
    number: int = 0, *, state: IsolationState = IsolationState.QUARANTINED, until_us: int = NOW + 40 * MINUTE
) -> Transition:
    previous = IsolationState.NORMAL if state is IsolationState.QUARANTINED else IsolationState.QUARANTINED
    return Transition(NOW, quarantine(number, state=state, until_us=until_us), previous, "rule", "guard", "up 9 %")


def delivery(name: str = "d1", *, channel: str = "ops", created_us: int = NOW, due_us: int = NOW) -> Delivery:
    return Delivery(
        name,
        "a1",
        channel,
        "quarantine",
        Level.DANGER,
        "held",
        "sim:X/USDT, \u202eé <b>",
        created_us,
        due_us,
        created_us + 60 * MINUTE,
    )


def delivered(each: Delivery) -> Delivery:
    return each._replace(state=DeliveryState.DELIVERED, attempts=each.attempts + 1)


def verdict(*, level: Level = Level.DANGER, previous: Level = Level.NORMAL, score: float = 0.84) -> Verdict:
    risk = RiskScore(score, (Contribution("trade_pattern", 0.2, score, score),))
    found = Finding(NOW, X, "pump_dump", "pump_dump", 0.9, {"ret(60s)": 0.04, "spread()": None, "vol_z(30s)": float("nan")})
    return Verdict(NOW, X, "pump_dump", level, previous, RuleMode.ENFORCE, risk, (found,), NOW)


def decision(number: int = 0, **changes: object) -> Decision:
    return Decision(NOW, (verdict(),), (transition(number),), (delivery(f"d{number}"),))._replace(**changes)
