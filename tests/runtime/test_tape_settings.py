"""Recordings of several exchanges: from three on, their prices are compared in a replay as they are live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import Batch, Channel, Flag, Kind, Market, MarketFacts, Mode, Status
from guard.pipeline import Pipeline
from guard.runtime.clock import SystemClock
from guard.runtime.replay import Replay, opened_tape
from guard.runtime.settings import tape_settings

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow", reason="recordings need the extra record")

T0_US = 1_600_000_000_000_000
RULE = "rules: {apart: {mode: enforce, level: danger, when: divergence(2s) > 1%}}"
ROWS = 16


def recorded(folder: Path, exchange: str, mid: float) -> Path:
    """Return a recording of one book with this mid."""
    from guard_tape import RecordingWriter

    rows = Batch(ROWS)
    live: dict[str, Any] = {"side": Channel.ALL, "key": Status.LIVE}
    rows.append(Kind.STATUS, 0, at_us=T0_US, received_us=T0_US, **live)
    for side, price in ((1, mid - 0.05), (-1, mid + 0.05)):
        flags = Flag.SNAPSHOT | (Flag.LAST if side < 0 else 0)
        rows.append(Kind.LEVEL, 0, at_us=T0_US + 1, received_us=T0_US + 1, price=price, amount=9.0, side=side, key=7, flags=flags)
    path = folder / f"{exchange}.parquet"
    with RecordingWriter(path) as writer:
        writer.market(MarketFacts(Market(exchange, "A/USDT"), streams=frozenset({"trades", "book"})))
        writer.append(rows)
    return path


def verdicts(paths: list[Path]) -> list[dict[str, Any]]:
    report = Report()
    program = compile_rules(rules_from_text(RULE, report))
    found: list[dict[str, Any]] = []
    tape = opened_tape(paths, exchange="tape")
    Replay(Pipeline(program, tape_settings(tape)), batch_rows=ROWS, write=found.append).play(tape, clock=SystemClock())
    return found


def test_replay_of_three_exchanges_tells_the_one_that_left_the_others(tmp_path: Path) -> None:
    mids = {"binance": 100.0, "kraken": 100.0, "okx": 102.0}
    found = verdicts([recorded(tmp_path, name, mid) for name, mid in mids.items()])
    assert [(row["market"], row["rule"], row["level"]) for row in found] == [("okx:A/USDT", "apart", "danger")]


def test_replay_of_two_exchanges_knows_not_which_is_wrong(tmp_path: Path) -> None:
    assert verdicts([recorded(tmp_path, name, mid) for name, mid in {"binance": 100.0, "okx": 102.0}.items()]) == []


def test_every_exchange_of_a_tape_has_its_leader_and_the_mode_is_given(tmp_path: Path) -> None:
    tape = opened_tape([recorded(tmp_path, name, 100.0) for name in ("binance", "okx")], exchange="tape")
    found = tape_settings(tape, mode=Mode.OBSERVE)
    assert (found.mode, found.references, found.has_peers) == (Mode.OBSERVE, {"binance": "BTC/USDT", "okx": "BTC/USDT"}, False)
