"""The reason of an order: an empty one is a mistake on the command line, found before guard is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = [
    "quarantine add sim:X/USDT --for 2h",
    "quarantine release sim:X/USDT",
    "quarantine extend sim:X/USDT --for 2h",
    "allow add base:X --for 2h",
    "allow rm base:X",
    "maintenance add sim --for 2h",
    "maintenance rm sim",
    "bypass --for 1h",
]


@pytest.mark.parametrize("reason", ["", "  "])
@pytest.mark.parametrize("words", ORDERS)
def test_an_empty_reason_is_a_mistake_of_usage_and_says_what_to_write(
    words: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUARD_STATE", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        main([*words.split(), "--reason", reason])
    assert end.value.code == 2
    told = capsys.readouterr()
    assert "--reason" in told.err
    assert "it is empty; say why in some words" in told.err
    assert not told.out
    assert not list(tmp_path.iterdir())
