"""Small tapes of bursts, and rules that see them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

T0_MS = 1_536_334_200_000
PACK = """
rules:
  busy:
    mode: {mode}
    let: {{many: 20}}
    when: trades(10s) > 3
    risk: {{volume_anomaly: {{weight: 1, value: "ramp(trades(10s), 0, many)"}}}}
    levels: {{warning: 0.4, danger: {danger}, critical: 0.95}}
    for: {held}
    clear: {{when: score < 0.2, for: 5s}}
    actions:
      warning: [alert]
      danger: [alert, {{quarantine: {{for: 2m, release: {{when: score < 0.2, for: 10s, probation: 1m}}}}}}]
"""


def pack(*, danger: float = 0.6, held: str = "0s", mode: str = "enforce") -> str:
    """Return the text of a pack with one rule."""
    return PACK.format(danger=danger, held=held, mode=mode)


def write_tape(path: Path, bursts: Sequence[tuple[int, int]], *, symbol: str = "AST/BTC", seconds: int = 1500) -> Path:
    """Write a calm trade every 5 s, and bursts: the second of the first trade, and how many trades in 5 s."""
    rows = [(T0_MS + 5000 * number, 1) for number in range(seconds // 5)]
    rows += [(T0_MS + 1000 * start + 5000 * number // count, 2) for start, count in bursts for number in range(count)]
    lines = [f"{symbol},{at},{'buy' if number % 2 else 'sell'},1.0,{amount}" for number, (at, amount) in enumerate(sorted(rows))]
    path.write_text("\n".join(["symbol,timestamp,side,price,amount", *lines, ""]))
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command and return its code and what it printed."""
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    printed = capsys.readouterr()
    return int(caught.value.code or 0), printed.out, printed.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Run a command with --json and return its code and its one document."""
    code, out, _ = run(capsys, *words, "--json")
    found: dict[str, Any] = json.loads(out)
    assert found["schema"] == 1
    return code, found
