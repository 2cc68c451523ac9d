"""A recorded run of rules that judge markets together, post, and were held down by an upgrade: replayed, it decides the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runtime import test_record
from runtime.test_record import replayed, scrambled

from guard.dsl.modes import with_modes
from guard.model import RuleMode

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import RuleSet

pytest.importorskip("pyarrow")
RULES = """
lists: {majors: [A/USDT, B/USDT]}
macros: {is_busy: trades(10s) >= 6, few: 3}
rules:
  rush:
    mode: enforce
    per: exchange
    quorum: 50%
    when: is_busy and market.symbol != "C/USDT"
    unless: {majors: market.symbol in $majors and trades(10s) < 2}
    level: danger
    for: 2s
    clear: {when: trades(10s) < 3, for: 5s}
    actions:
      danger: [alert, {webhook: bot}, {quarantine: {for: 15s, release: {when: trades(10s) < few, for: 5s, probation: 10s}}}]
  busy:
    mode: enforce
    per: symbol
    quorum: 1
    risk: {volume: {weight: 1, value: "ramp(trades(5s), 1, 9)"}}
    levels: {warning: 50%, danger: 0.8}
    actions: {danger: [{quarantine: {for: 20s, target: base}}]}
"""
SECOND = RULES.replace("quorum: 50%", "quorum: 2").replace("mode: enforce\n    per: symbol", "mode: alert\n    per: symbol")
THIRD = RULES.replace("mode: enforce\n    per: exchange", "mode: disabled\n    per: exchange")


def test_groups_posts_and_held_modes_are_replayed_as_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = test_record.rules

    def rules(text: str) -> RuleSet:
        found = read(text)
        return with_modes(found, {"busy": RuleMode.SHADOW}, why="held down since an upgrade") if text == THIRD else found

    for name, value in (("RULES", RULES), ("SECOND", SECOND), ("THIRD", THIRD), ("rules", rules)):
        monkeypatch.setattr(test_record, name, value)
    for seed in range(3):
        path = tmp_path / f"{seed}.parquet"
        made = scrambled(path, seed)
        digest, replay = replayed(path, 5)
        assert digest == made.log.digest == replayed(path, 4096)[0]
        assert replay.reloads > 1
