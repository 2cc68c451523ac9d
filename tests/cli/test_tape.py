"""guard tape: what is on a recording, and one recording made of several files, which replays to the same log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow", reason="recordings need the extra record")

T0_MS = 1_536_334_200_000
RULE = "rules:\n  busy: {mode: enforce, when: trades(10s) >= 3, level: danger, actions: {danger: [alert, quarantine]}}\n"
HEADER = "symbol,timestamp,side,price,amount"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(RULE)
    for name, step in (("AST", 1000), ("BTC", 7000)):
        rows = [f"{name}/USDT,{T0_MS + step * at},{'buy' if at % 3 else ''},{1 + at % 3},1" for at in range(200)]
        (tmp_path / f"{name}.csv").write_text("\n".join([HEADER, *rows, *rows[-2:], f"{name}/USDT,x,buy,1,1", ""]))
    return tmp_path


def guard(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict[str, Any]]]:
    with pytest.raises(SystemExit) as caught:
        main(["--json", *map(str, words)])
    return int(caught.value.code or 0), [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "AST.csv", folder / "BTC.csv"


def test_a_converted_recording_replays_to_the_same_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "all.parquet"
    code, (written,) = guard(capsys, "tape", "convert", *files(folder), "--exchange", "binance", "--out", out)
    assert (code, written["rows"], written["markets"], written["repeated"]) == (0, 402, 2, 4)
    assert written["rejected"] == {"timestamp": 2}
    _, text = guard(capsys, "replay", *files(folder), "--exchange", "binance", "--rules", folder / "rules")
    _, parquet = guard(capsys, "replay", out, "--rules", folder / "rules", "--batch", 7)
    assert text[:-1] == parquet[:-1] != []
    assert [summary[-1]["digest"] for summary in (text, parquet)] == [text[-1]["digest"]] * 2
    assert text[-1]["events"] == parquet[-1]["events"] == 400
    again = folder / "again.parquet"
    guard(capsys, "tape", "convert", out, "--out", again)
    assert (
        guard(capsys, "tape", "info", again)[1][0]["tapes"][0]["markets"]
        == guard(capsys, "tape", "info", out)[1][0]["tapes"][0]["markets"]
    )


def test_info_tells_markets_times_and_what_was_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, (document,) = guard(capsys, "tape", "info", folder / "AST.csv", "--exchange", "binance")
    (found,) = document["tapes"]
    assert code == 0
    assert found["kinds"] == {"trade": 200, "status": 1}
    assert (found["first_us"], found["last_us"]) == (T0_MS * 1000, (T0_MS + 199_000) * 1000)
    assert found["markets"] == [{"market": "binance:AST/USDT", "class": "spot", "streams": ["trades"], "rows": 201, "gaps": 0}]
    assert (found["repeated"], found["rejected"]) == (2, {"timestamp": 1})
    assert found["rejected_examples"] == [f"{folder / 'AST.csv'}:204: timestamp"]


def test_info_for_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tape", "info", str(folder / "AST.csv")])
    text = capsys.readouterr().out
    assert "201 rows (200 trade, 1 status)" in text
    assert "2018-09-07T15:30:00.000Z to 2018-09-07T15:33:19.000Z" in text
    assert "1 rows refused: timestamp" in text


def test_an_empty_file_is_an_empty_tape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "AST.csv").write_text(HEADER + "\n")
    code, (document,) = guard(capsys, "tape", "info", folder / "AST.csv")
    assert (code, document["tapes"][0]["rows"], document["tapes"][0]["first_us"]) == (0, 0, None)


@pytest.mark.parametrize("out", ["all.csv", "in.parquet"])
def test_convert_refuses_another_name_and_its_own_input(folder: Path, out: str) -> None:
    (folder / "in.parquet").write_bytes(b"PAR1")
    with pytest.raises(SystemExit) as caught:
        main(["tape", "convert", str(folder / "in.parquet"), "--out", str(folder / out)])
    assert caught.value.code == 2


def test_a_damaged_recording_ends_with_three(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "in.parquet").write_bytes(b"PAR1 and no more")
    code, (document,) = guard(capsys, "replay", folder / "in.parquet")
    assert (code, document["exit"]) == (3, 3)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--from", "+2h", "--to", "+1h"), 2, "a piece ends after it begins"),
        (("--from", "soon"), 2, "for --from: expected a day"),
        (("--from", "+9d"), 1, "the tape has no rows then"),
        (("--market", "nope:*"), 1, "no market of the tape matches"),
    ],
)
def test_a_piece_without_rows_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, told: str
) -> None:
    first, second = files(folder)
    with pytest.raises(SystemExit) as ended:
        main(["tape", "cut", str(first), str(second), *words, "--out", str(folder / "piece.parquet")])
    shown = capsys.readouterr()
    assert (ended.value.code, told in shown.out + shown.err) == (code, True), shown
