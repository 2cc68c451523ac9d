"""``guard client vendor``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_words(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run_words


def test_vendor_writes_one_file_and_writes_it_anew(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "bot" / "lib"
    for _ in range(2):
        code, text = run("client", "vendor", str(folder), "--json")
        assert code == 0
    document = json.loads(text)
    assert document["file"] == str(folder / "guard_client.py")
    assert [path.name for path in folder.iterdir()] == ["guard_client.py"]
    assert "Written by ``guard client vendor``" in (folder / "guard_client.py").read_text()


def test_vendor_leaves_a_file_alone_that_guard_did_not_write(run: Run, tmp_path: Path) -> None:
    (tmp_path / "guard_client.py").write_text("mine = 1\n")
    code, text = run("client", "vendor", str(tmp_path))
    assert code != 0
    assert "guard has not written it" in text
    assert (tmp_path / "guard_client.py").read_text() == "mine = 1\n"
    assert run("client", "vendor", str(tmp_path), "--force")[0] == 0
