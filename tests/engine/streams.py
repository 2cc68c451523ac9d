"""Streams of everything that a feed can bring, from a seed."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pytest

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.features.kernel import built
from guard.model import Batch, Channel, Flag, Kind, Level, Status
from guard.pipeline import Pipeline, Settings
from guard.runtime.clock import seeded_random
from guard_sim import tape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl import Program

__all__ = ["EXCHANGES", "SYMBOLS", "batches", "fresh", "in_python", "shipped", "stream"]

SYMBOLS = ("BTC/USDT", "MOON/USDT", "SUDS/USDT")
EXCHANGES = ("one", "two")
_SECOND_US = 1_000_000
_SILENCE_US = 90 * _SECOND_US
_SCHEDULE = (
    {"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 62},
    {"pattern": "wash_trading", "symbol": "SUDS/USDT", "at": 20},
)
_POLICY = AlertPolicy(channels=(ChannelPolicy("push", frozenset({Level.DANGER, Level.CRITICAL})),))
_STATUSES = (Status.LOST, Status.STALLED, Status.MAINTENANCE, Status.LIVE, Status.LIVE, Status.WARM)


@cache
def shipped() -> Program:
    """Return the rules that come with guard."""
    return compile_rules(load_rules(shipped_packs()))


def fresh(*, jit: bool, program: Program | None = None) -> Pipeline:
    """Return a pipeline that watches the same symbols on two exchanges, which judge each other."""
    references = dict.fromkeys(EXCHANGES, "BTC/USDT")
    pipeline = Pipeline(program or shipped(), Settings(alerts=_POLICY, references=references, has_peers=True), jit=jit)
    for name in EXCHANGES:
        for facts in tape.facts(name=name, symbols=list(SYMBOLS)):
            pipeline.open(facts)
    return pipeline


@contextmanager
def in_python() -> Iterator[None]:
    """Let kernels that are made run in Python, though one was built ahead of time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(built, "functions", lambda: None)
        yield


@cache
def stream(seed: int, duration_s: float = 95.0) -> tuple[tape.Row, ...]:
    """Return a pump on both exchanges, seen through bad feeds: gaps, lost streams, late rows, a silence, missing rows."""
    random = seeded_random(seed)
    calm = tape.events(duration_s=duration_s, history_s=7_200.0, symbols=list(SYMBOLS), schedule=list(_SCHEDULE), seed=seed)
    silence = tape.START_US + int(duration_s * 0.8 * _SECOND_US)
    rows: list[tape.Row] = []
    for each in calm:
        later = _SILENCE_US if each.received_us > silence else 0
        row = each._replace(at_us=each.at_us + later, received_us=each.received_us + later)
        rows.append(row)
        # The other exchange shows the same a little later, its prices a little off.
        lag = 30_000 + (_SECOND_US if random.random() < 0.001 else 0)
        price = row.price * 1.001
        other = row._replace(market=row.market + len(SYMBOLS), received_us=row.received_us + lag, price=price)
        if random.random() < 0.98:
            rows.append(other)
        if random.random() < 0.002 and not row.flags & Flag.BACKFILL:
            rows += _trouble(random.random(), row)
    return tuple(sorted(rows, key=lambda row: row.received_us))


def _trouble(chance: float, row: tape.Row) -> list[tape.Row]:
    """Return what goes wrong on the market of a row."""
    channel = Channel(int(chance * 1000) % 3)
    told = row._replace(price=0.0, amount=0.0, side=channel, flags=0)
    if chance < 0.3:
        return [told._replace(kind=Kind.GAP, key=row.at_us - int(chance * 1e7))]
    if chance < 0.7:
        return [told._replace(kind=Kind.STATUS, key=_STATUSES[int(chance * 1e4) % len(_STATUSES)])]
    if chance < 0.75:
        return [told._replace(kind=Kind.STATUS, key=Status.USD_RATE, price=1.0), told._replace(kind=Kind.CONTROL, side=0, key=7)]
    return [row._replace(at_us=row.at_us - int(chance * 5e6))]


def batches(rows: Sequence[tape.Row], size: int) -> list[Batch]:
    """Return the rows in batches of `size`."""
    found = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        batch = Batch(len(part))
        for row in part:
            columns = row._asdict()
            batch.append(columns.pop("kind"), columns.pop("market"), **columns)
        found.append(batch)
    return found
