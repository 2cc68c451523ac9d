"""``guard ledger`` on a state folder of its own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from store.decisions import decision

from guard.cli.main import main
from guard.runtime.clock import SystemClock
from guard.runtime.ledger_keeper import LedgerKeeper
from guard.runtime.state import StateFolder
from guard.runtime.taking import take_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, Any]]


async def fill(path: Path) -> None:
    with StateFolder(path) as state:
        taken = await take_ledger(state, SystemClock())
        keeper = LedgerKeeper(state.ledger, state.backups(), SystemClock(), epoch=1, every_us=10**12, announce=lambda *_: None)
        await taken.store.commit([decision(1)], epoch=1)
        keeper.back_up()
        await taken.store.commit([decision(2)], epoch=1)
        await keeper.finish()
        await taken.store.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str, is_json: bool = True) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["ledger", *words, "--state", str(state), *(["--json"] if is_json else [])])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), json.loads(out) if is_json else out + err

    return call


def test_info_tells_where_it_stands_and_what_it_could_be_rebuilt_from(run: Run) -> None:
    code, found = run("info")
    assert (code, found["seq"], found["layout"], found["active"], len(found["backups"])) == (0, 4, 2, 2, 1)
    assert found["anchor"] == f"4:{found['head']}"
    assert "2 targets are held" in run("info", is_json=False)[1]


def test_verify_says_good_or_names_the_first_bad_row_and_ends_with_1(run: Run, state: Path) -> None:
    anchor = run("info")[1]["anchor"]
    assert run("verify", "--anchor", anchor)[0] == 0
    code, text = run("verify", "--anchor", "4:00", is_json=False)
    assert (code, "the trail has no row 4 with hash 00" in text) == (1, True)
    content = bytearray((state / "ledger.sqlite").read_bytes())
    at = content.index(b'"reason":"up 9 %"')
    content[at + 11] ^= 1
    (state / "ledger.sqlite").write_bytes(content)
    code, found = run("verify")
    assert code == 1
    assert "row" in found["error"] or "quarantine" in found["error"]


def test_a_backup_of_ones_own_can_be_restored_with_a_newer_export(run: Run, state: Path, tmp_path: Path) -> None:
    code, found = run("backup", str(tmp_path / "mine.sqlite"))
    assert (code, found["seq"], (tmp_path / "mine.sqlite").stat().st_mode & 0o777) == (0, 4, 0o600)
    old = next((state / "backups").glob("ledger-*.sqlite"))
    assert run("export", "--since", "2", "--out", str(tmp_path / "later.jsonl"))[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "later.jsonl").read_text().splitlines()]
    assert [next(iter(line)) for line in lines] == ["begin", "hash", "hash", "held", "held", "n", "n"]
    for journal in (state / "backups").glob("journal-*"):
        journal.unlink()
    code, found = run("restore", str(old), "--export", str(tmp_path / "later.jsonl"))
    assert (code, found["base_seq"], found["seq"]) == (0, 2, 4)
    assert run("verify")[0] == 0


def test_restore_alone_takes_the_newest_good_backup_and_the_journal(run: Run, state: Path) -> None:
    (state / "ledger.sqlite").write_bytes(b"\0" * 9000)
    code, text = run("restore", is_json=False)
    assert (code, "restored from ledger-000001.sqlite up to entry 4, 2 of them from journals" in text) == (0, True)
    assert "the old one is kept as ledger.sqlite.damaged-" in text
    assert run("verify")[1]["seq"] == 4


def test_restore_is_refused_while_a_guard_runs(run: Run, state: Path) -> None:
    before = (state / "ledger.sqlite").read_bytes()
    with StateFolder(state):
        code, found = run("restore")
    assert code == 1
    assert "another guard" in found["error"]
    assert (state / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize("words", [("--empty", "--only"), ("--only",), ("file", "--empty")])
def test_contradictions_are_usage_errors(run: Run, words: tuple[str, ...]) -> None:
    assert run("restore", *words)[0] == 2


def test_a_folder_without_a_ledger_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ledger", "verify", "--state", str(tmp_path)])
    assert ended.value.code == 1
    assert "there is no ledger" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("backup",), ("export", "--out")])
def test_a_slip_of_the_name_overwrites_neither_a_configuration_nor_the_ledger(
    run: Run, state: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    config = tmp_path / "guard.yaml"
    config.write_text("version: 1\n")
    code, said = run(*words, str(config), is_json=False)
    assert (code, "nothing is overwritten" in said, config.read_text()) == (1, True, "version: 1\n")
    before = (state / "ledger.sqlite").read_bytes()
    code, said = run(*words, str(state / "ledger.sqlite"), is_json=False)
    assert (code, "the ledger itself" in said, (state / "ledger.sqlite").read_bytes() == before) == (1, True, True)


@pytest.mark.parametrize("words", [("backup",), ("export", "--out")])
def test_what_the_same_command_wrote_before_is_replaced(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert [run(*words, str(tmp_path / "copy"))[0] for _ in range(2)] == [0, 0]
