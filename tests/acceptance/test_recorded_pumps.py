"""The four recorded pumps: found in time, little else blocked, and the same log however the tape is cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.pipeline import Pipeline
from guard.runtime.clock import SystemClock
from guard.runtime.replay import Replay

PUMPS = Path(__file__).parents[2] / "../shared/data/pump_trades"
FILES = sorted(PUMPS.glob("*.csv.gz"))
MARKET_MINUTES = 76 * 1440
FOUND_WITHIN = timedelta(seconds=90)
EARLY = timedelta(minutes=5)

pytestmark = pytest.mark.skipif(not PUMPS.is_dir(), reason="the recorded pumps are not beside this checkout")


def replayed(files: list[Path], *, batch_rows: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    replay = Replay(Pipeline(compile_rules(load_rules(shipped_packs()))), batch_rows=batch_rows, write=lines.append)
    return replay.run(files, exchange="binance", clock=SystemClock()), lines


def announced(path: Path) -> tuple[str, datetime]:
    coin, day, hour = path.name.removesuffix(".csv.gz").split("_")
    return f"binance:{coin}/BTC", datetime.strptime(f"{day} {hour}", "%Y-%m-%d %H.%M").replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def whole() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return replayed(FILES, batch_rows=1024)


def openings(lines: list[dict[str, Any]]) -> list[tuple[str, datetime]]:
    return [
        (line["market"], datetime.fromisoformat(line["ts"]))
        for line in lines
        if line["type"] == "quarantine" and line["state"] == "quarantined" and line["cause"] in {"rule", "reoffence"}
    ]


def is_hit(opening: tuple[str, datetime], pump: tuple[str, datetime]) -> bool:
    return opening[0] == pump[0] and -EARLY <= opening[1] - pump[1] <= FOUND_WITHIN


def test_every_announced_pump_is_quarantined_in_time(whole: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    found = openings(whole[1])
    late = [pump for pump in map(announced, FILES) if not any(is_hit(opening, pump) for opening in found)]
    assert late == []


def test_little_else_is_blocked(whole: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    summary, lines = whole
    others = [opening for opening in openings(lines) if not any(is_hit(opening, announced(path)) for path in FILES)]
    assert len(others) <= 5
    assert summary["blocked_minutes"] <= 0.005 * MARKET_MINUTES


def test_no_verdict_rests_on_the_book_that_is_not_there(whole: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    verdicts = [line for line in whole[1] if line["type"] == "verdict"]
    assert verdicts
    assert all(line["factors"].get("order_book") is None for line in verdicts)
    assert {line["rule"] for line in verdicts} <= {"pump_dump", "wash_trading"}


@pytest.mark.parametrize("batch_rows", [1, 4096])
def test_the_log_is_the_same_however_the_tape_is_cut(batch_rows: int) -> None:
    file = [path for path in FILES if path.name.startswith("ICN")]
    assert replayed(file, batch_rows=batch_rows)[0]["digest"] == replayed(file, batch_rows=333)[0]["digest"]
