"""``guard doctor --bot freqtrade``: the strategy is read and never run, the exchange's name compared, a refusal rehearsed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from guard.cli.doctor_freqtrade import look_at_strategies
from guard.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

BASE = """
from freqtrade.strategy import IStrategy
open("executed", "w")
class Base(IStrategy):
    def confirm_trade_entry(self, pair, **kwargs):
        return True
    def custom_stake_amount(self, *args, **kwargs):
        return super().custom_stake_amount(*args, **kwargs)
"""
CHILD = """
from base import Base
import guard.client.freqtrade as g
class Guarded(g.GuardMixin, Base):
    pass
class Bare(Base):
    pass
"""


@pytest.fixture
def strategies(tmp_path: Path) -> Path:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "base.py").write_text(BASE)
    (folder / "child.py").write_text(CHILD)
    (folder / "torn.py").write_text("class Torn(")
    return folder


def found(folder: Path, name: str | None = None) -> dict[str, tuple[bool, str]]:
    return {probe.what: (probe.is_well, probe.found) for probe in look_at_strategies(folder, name)}


def test_a_strategy_without_the_mixin_is_told_and_bases_in_other_files_count(strategies: Path, tmp_path: Path) -> None:
    probes = found(strategies)
    assert probes["strategy Bare"] == (False, "guard is not asked: it has no mixin")
    is_well, text = probes["strategy Guarded"]
    assert is_well
    assert "Base.confirm_trade_entry override without super()" in text
    assert "custom_stake_amount" not in text
    assert not probes["strategy file torn.py"][0]
    assert not (tmp_path / "executed").exists()


def test_one_strategy_may_be_asked_for_and_a_missing_one_is_told(strategies: Path) -> None:
    assert "strategy Bare" not in found(strategies, "Guarded")
    assert found(strategies, "Nobody")["strategy"][0] is False


@pytest.mark.parametrize(
    ("exchange", "own", "is_well"),
    [("sim", {}, True), ("binance", {}, False), ("binance", {"exchange": "sim"}, True), ("sim", {"exchange": "other"}, False)],
)
def test_the_bots_exchange_is_held_against_guard_yaml(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    exchange: str,
    own: dict[str, Any],
    *,
    is_well: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "guard.yaml").write_text("version: 1\nmode: enforce\nexchanges: {sim: {connector: sim, markets: ['*/USDT']}}\n")
    bot = {"exchange": {"name": exchange, "pair_whitelist": ["BTC/USDT"]}, "guard": own, "stake_currency": "USDT"}
    (tmp_path / "bot.json").write_text(json.dumps(bot))
    with pytest.raises(SystemExit):
        main(["--json", "doctor", "--bot", "freqtrade", "--bot-config", "bot.json"])
    findings = {each["what"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["bot exchange"]["is_well"] is is_well
    assert findings["rehearsal"]["is_well"]
    assert "entry refused, addition refused, exit permitted" in findings["rehearsal"]["found"]
    assert not findings["guard"]["is_well"]
    assert not (tmp_path / ".guard").exists()


def test_a_bots_options_go_with_a_bot(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--strategy-path", str(tmp_path)])
    assert left.value.code == 2
