from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from guard.cli.main import main
from guard.cli.rules_new import templates
from guard.dsl import load_rules

CONFIG = "version: 1\nmode: enforce\nrules: [guard:pump_dump, rules/*.yaml]\nexchanges: {sim: {connector: sim}}\n"


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(["rules", *words])
    told = capsys.readouterr()
    return int(caught.value.code or 0), told.out + told.err


@pytest.mark.parametrize("template", list(templates()))
def test_every_template_passes_check_and_test_as_written_in_the_shadow(template: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "new", "my_rule", "--from", template)
    assert (code, out.splitlines()[0]) == (0, "wrote rules/my_rule.yaml and rules/my_rule.test.yaml")
    assert run(capsys, "check", "rules") == (0, "rules: no mistakes found\n")
    code, out = run(capsys, "test", "rules/my_rule.yaml")
    # Clauses that its two tests do not see both ways are a hint for whoever goes on from here.
    assert (code, out.partition("; ")[2].partition("\n")[0]) == (0, "1 of 1 rules have a test that fires and one that stays silent")
    (rule,) = load_rules(["rules"]).rules
    assert rule.spec is not None
    assert (rule.id, rule.spec.mode) == ("my_rule", "shadow")
    assert rule.spec.why


def test_the_templates_are_listed_with_what_they_find(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "new", "--list")
    assert code == 0
    assert {"price_move", "volume_burst", "thin_book", "wash", "pump_dump"} <= {line.split()[0] for line in out.splitlines()}
    assert "pump_dump        Pump & dump on a thin market  (shipped pack)" in out.splitlines()
    document = json.loads(run(capsys, "new", "--list", "--json")[1])
    assert document["schema"] == 1
    assert {"template": "wash", "title": "Equal amounts go back and forth", "shipped": False} in document["templates"]


def test_beside_a_configuration_editors_find_the_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    Path("guard.yaml").write_text(CONFIG)
    code, out = run(capsys, "new", "my_rule", "--from", "price-move")
    assert code == 0
    assert "does not name it" not in out
    for name, key in (("my_rule.yaml", "rules"), ("my_rule.test.yaml", "tests")):
        first = (Path("rules") / name).read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        schema = json.loads((Path("rules") / first.partition("=")[2]).read_text())
        assert key in schema["properties"]
    assert Path(".guard").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in Path("rules").iterdir()) == ["my_rule.test.yaml", "my_rule.yaml"]


def test_a_rule_that_the_configuration_does_not_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("guard.yaml").write_text(CONFIG.replace(", rules/*.yaml", ""))
    code, out = run(capsys, "new", "my_rule", "--from", "wash", "--out", "own/mine.yaml")
    assert code == 0
    assert "guard.yaml does not name it yet; add it there: rules: [..., own/mine.yaml]" in out
    document = json.loads(run(capsys, "new", "other", "--from", "wash", "--json")[1])
    assert document["named"] is False
    assert document["written"] == ["rules/other.yaml", "rules/other.test.yaml"]


@pytest.mark.parametrize("there", ["rules/my_rule.yaml", "rules/my_rule.test.yaml"])
def test_no_file_is_written_over_and_none_left_behind(there: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules").mkdir()
    Path(there).write_text("mine")
    code, out = run(capsys, "new", "my_rule", "--from", "wash")
    assert (code, out) == (1, f"{there} is there already; guard rules new writes no file that exists\n")
    assert [path.read_text() for path in Path("rules").iterdir()] == ["mine"]
    Path(there).unlink()
    Path(there).symlink_to("nowhere")
    assert run(capsys, "new", "my_rule", "--from", "wash")[0] == 1


def test_a_rule_that_exists_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("guard.yaml").write_text(CONFIG)
    code, out = run(capsys, "new", "pump_dump", "--from", "wash")
    assert code == 1
    assert "there is a rule pump_dump already, in " in out
    assert not Path("rules").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "needs NAME"),
        (["my_rule"], "needs --from TEMPLATE"),
        (["Fast-Fall", "--from", "wash"], "did you mean fast_fall?"),
        (["9", "--from", "wash"], "'9' is not a rule's name"),
        (["a" * 65, "--from", "wash"], "is not a rule's name"),
        (["../x", "--from", "wash"], "is not a rule's name"),
        (["my_rule", "--from", "wsh"], "did you mean wash?"),
        (["my_rule", "--from", "../wash"], "there is no template"),
        (["my_rule", "--from", "wash", "--out", "x.test.yaml"], "is not the name of a pack"),
        (["my_rule", "--from", "wash", "--out", "guard.yaml"], "is not the name of a pack"),
        (["my_rule", "--from", "wash", "--out", "x.txt"], "is not the name of a pack"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "new", *words)
    assert code == 2
    assert hint in out
    assert list(Path().iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("rules").write_text("a file")
    code, out = run(capsys, "new", "my_rule", "--from", "wash")
    assert code == 1
    assert out == "rules cannot be written: File exists\n"


def test_a_template_keeps_its_comments_and_no_name_of_its_own() -> None:
    from guard.cli.rules_new import written_anew

    for template in templates().values():
        pack, tests = written_anew(template, "mine")
        assert list(yaml.safe_load(pack)["rules"]) == ["mine"]
        assert {case["rule"] for case in yaml.safe_load(tests)["tests"].values()} == {"mine"}
        assert "blocked: true" not in tests
        assert pack.count("#") == template.path.read_text().count("#")
