from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "rules:\n  one:\n    title: One\n    level: danger\n    when: ret(60s) > 1%\n"
BAD = "rules:\n  one:\n    level: dangr\n    when: retn(60s) > 1%\n"
HEAVY = ("ccxt", "pandas", "sklearn", "numpy", "aiohttp", "apprise", "aiosqlite")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return int(caught.value.code or 0), capsys.readouterr().out


def pack(folder: Path, text: str, name: str = "pack.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_sound_rules_end_with_one_line_and_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "rules", "check", pack(tmp_path, GOOD))
    assert code == 0
    assert out.splitlines() == [f"{tmp_path}/pack.yaml: no mistakes found"]


def test_broken_rules_show_every_mistake_with_caret_and_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "rules", "check", pack(tmp_path, BAD))
    assert code == 1
    assert f"{tmp_path}/pack.yaml:3:12: error[E023 not-a-choice]" in out
    assert "    when: retn(60s) > 1%\n" in out
    assert f"\n    {' ' * 10}^\n    hint: did you mean ret?\n" in out
    assert out.splitlines()[-1].endswith("2 errors")


def test_json_holds_each_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "rules", "check", pack(tmp_path, BAD), "--json")
    document: dict[str, Any] = json.loads(out)
    assert code == 1
    assert document["schema"] == 1
    assert [(row["line"], row["column"], row["id"], row["severity"]) for row in document["errors"]] == [
        (3, 12, "E023", "error"),
        (4, 11, "E042", "error"),
    ]
    assert {"file", "message", "hint"} <= set(document["errors"][0])
    assert document["errors"][1]["hint"] == "did you mean ret?"


def test_folder_is_checked_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(tmp_path, GOOD, "a.yaml")
    pack(tmp_path, GOOD, "b.yaml")
    assert run(capsys, "rules", "check", str(tmp_path))[0] == 1
    (tmp_path / "b.yaml").unlink()
    assert run(capsys, "rules", "check", str(tmp_path))[0] == 0


def test_default_is_guard_yaml_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    assert run(capsys, "rules", "check")[0] == 1
    pack(tmp_path, GOOD)
    pack(tmp_path, "exchanges: {sim: {connector: sim}}\nrules: [pack.yaml]\n", "guard.yaml")
    assert run(capsys, "rules", "check")[0] == 0
    code, out = run(capsys, "rules", "list")
    assert (code, "SHADOW" in out, "pack.yaml:2" in out) == (0, True, True)


@pytest.mark.parametrize("words", [("rules", "check"), ("config", "check"), ("rules", "list")])
def test_command_imports_nothing_heavy(tmp_path: Path, words: tuple[str, str]) -> None:
    pack(tmp_path, GOOD)
    pack(tmp_path, "exchanges: {sim: {connector: sim}}\nrules: [guard:pump_dump, pack.yaml]\n", "guard.yaml")
    script = (
        "import sys\nfrom guard.cli.main import main\n"
        f"try:\n    main({list(words)!r})\nexcept SystemExit as done:\n    code = done.code\n"
        f"print(code, sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_features_can_be_searched(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "rules", "features", "vol_z")
    assert code == 0
    assert "vol_z(w: duration, baseline=6h)" in out
    rows = json.loads(run(capsys, "--json", "rules", "features")[1])["features"]
    assert len({row["name"] for row in rows}) == len(rows) > 20


def test_show_tells_where_each_key_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(tmp_path, GOOD, "a.yaml")
    pack(tmp_path, "override: {one: {mode: alert}}\n", "b.yaml")
    code, out = run(capsys, "rules", "show", "one", str(tmp_path), "--resolved")
    assert code == 0
    assert "mode: alert" in out
    assert "for: 0s" in out
    assert any(line.startswith("# mode") and line.endswith("b.yaml:1") for line in out.splitlines())
    assert run(capsys, "rules", "show", "oen", str(tmp_path))[0] == 1


def test_schema_is_draft_7_and_knows_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    for words, key in ((("rules", "schema"), "rules"), (("rules", "schema", "--config"), "exchanges")):
        document = json.loads(run(capsys, *words)[1])
        text = json.dumps(document)
        assert document["$schema"] == "http://json-schema.org/draft-07/schema#"
        assert key in document["properties"]
        assert "prefixItems" not in text
        names = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
        assert names <= set(document["$defs"])
        assert all(inner.get("additionalProperties") is False for inner in document["$defs"].values() if "properties" in inner)
