"""guard init: folders that run at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from guard.cli.main import main
from guard.dsl import load_guard

if TYPE_CHECKING:
    from pathlib import Path

FREQTRADE = """{
    // as freqtrade new-config writes it, with a comment
    "stake_currency": "USDC", /* and another one */
    "exchange": {
        "name": "kucoin",
        "key": "https://not//a/comment, ]",
        "pair_whitelist": ["ALGO/USDT", "BTC/USDT:USDT", ".*/BTC", "(ETH|SOL)/USDT",],
    },
}"""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    return tmp_path / "new"


def test_a_folder_for_the_embedded_exchange_is_sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "init", "new")[0] == 0
    assert run(capsys, "config", "check", "new/guard.yaml")[0] == 0
    config = load_guard(folder / "guard.yaml", {})
    assert (str(config.mode), config.exchanges["sim"].connector) == ("enforce", "sim")


def test_a_folder_for_a_real_exchange_is_sound_and_only_observes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "init", "new", "--exchange", "kucoin")[0] == 0
    assert run(capsys, "config", "check", "new/guard.yaml")[0] == 0
    config = load_guard(folder / "guard.yaml", {})
    assert (str(config.mode), config.exchanges["kucoin"].connector) == ("observe", "ccxt")


def test_a_freqtrade_configuration_gives_exchange_and_markets(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.parent.joinpath("config.json").write_text(FREQTRADE)
    code, out, _ = run(capsys, "init", "new", "--bot", "freqtrade", "--config", "config.json")
    assert (code, "watched by from_bot: (ETH|SOL)/USDT" in out) == (0, True)
    assert run(capsys, "config", "check", "new/guard.yaml")[0] == 0
    exchange = load_guard(folder / "guard.yaml", {}).exchanges["kucoin"]
    assert list(exchange.markets) == ["ALGO/USDT", "BTC/USDT:USDT", "*/BTC"]
    assert exchange.from_bot is not None
    assert exchange.from_bot.freqtrade is not None
    assert str(exchange.from_bot.freqtrade.config) == "../config.json"


def test_a_dynamic_pair_list_watches_what_the_stake_buys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.parent.joinpath("config.json").write_text('{"stake_currency": "USDC", "exchange": {"name": "kraken"}}')
    code, out, _ = run(capsys, "--json", "init", "new", "--bot", "freqtrade", "--config", "config.json")
    assert (code, json.loads(out)["mode"], json.loads(out)["left_out"]) == (0, "observe", [])
    assert list(load_guard(folder / "guard.yaml", {}).exchanges["kraken"].markets) == ["*/USDC"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"exchange": 5}', '{"exchange": {"pair_whitelist": []}}', '{"exchange": {"name": "x"']
)
@pytest.mark.usefixtures("folder")
def test_what_is_no_freqtrade_configuration_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    code, _, err = run(capsys, "init", "new", "--bot", "freqtrade", "--config", "config.json")
    assert (code, "config.json is no Freqtrade configuration" in err) == (1, True)
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "guard.yaml").write_text("mine")
    code, _, err = run(capsys, "init", "new")
    assert (code, "there already" in err) == (1, True)
    assert (folder / "guard.yaml").read_text() == "mine"


@pytest.mark.usefixtures("folder")
def test_bad_words_are_refused_with_what_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "init", "new", "--exchange", "kucion")
    assert (code, "did you mean kucoin" in err) == (1, True)
    assert run(capsys, "init", "new", "--bot", "freqtrade")[0] == 2
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "init", "file/new")
    assert (code, "file/new/guard.yaml" in err) == (1, True)
