"""The example of docs/actions.md: installed as somebody else's package, checked in a rule, and run once for each event."""

from __future__ import annotations

import json
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from own_action import EXAMPLE, PAGE, install, listed

from guard.cli.main import main
from guard.cli.output import Exit
from guard.dsl import check
from guard.dsl.actions import InstalledActions
from guard.dsl.schema import pack_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.errors import Problem

CONFIG = """\
version: 1
mode: enforce
rules: [mine.yaml]
webhooks: {my_bot: {url: "https://bot.example.org/guard"}}
exchanges: {sim: {connector: sim}}
"""
RULE = """\
rules:
  busy:
    mode: enforce
    when: trades(10s) >= 3
    level: danger
    actions:
      danger:
        - %s
    title: Busy
    why: an example
"""
GOOD = "call: {name: notebook.append, timeout: 3s, args: {folder: ., style: long}}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("own_action"))


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    yield
    sys.modules.pop("guard_notebook", None)


def problems(folder: Path, action: str) -> list[Problem]:
    (folder / "guard.yaml").write_text(CONFIG)
    (folder / "mine.yaml").write_text(RULE % action)
    return list(check([folder / "guard.yaml"]))


def test_page_and_package_tell_the_same_name() -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert list(project["entry-points"]["guard.actions"]) == [listed(PAGE.read_text())]


@pytest.mark.usefixtures("installed")
def test_it_is_found_and_its_good_arguments_are_taken(tmp_path: Path) -> None:
    assert "notebook.append" in InstalledActions()
    assert problems(tmp_path, GOOD) == []


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("action", "code", "column", "says", "hint"),
    [
        ("call: {name: notebook.append, args: {folder: ., stile: long}}", "E020", 59, "unknown key 'stile'", "did you mean style?"),
        ("call: {name: notebook.append, args: {folder: ., style: lang}}", "E023", 66, "'short' or 'long'", "did you mean long?"),
        ("call: {name: notebook.append}", "E021", 11, "'folder' is missing", ""),
        (
            "call: {name: notebook.apend, args: {}}",
            "E071",
            24,
            "no installed package has an action 'notebook.apend'",
            "did you mean",
        ),
        ("call: {name: notebook.append, timeout: 5m, args: {folder: .}}", "E025", 50, "100ms to 60s, found 300s", ""),
        ("call: {name: 'os:system', args: {}}", "E025", 24, "never by a module; found 'os:system'", ""),
        ("webhook: my_bt", "E070", 20, "guard.yaml has no webhook 'my_bt'", "did you mean my_bot?"),
        ("webhook: {to: nobody}", "E070", 25, "no webhook 'nobody'", "allowed here: my_bot"),
        ("webhook: {to: my_bot, url: http://x}", "E020", 33, "unknown key 'url'", ""),
        ("webhook: https://bot.example.org", "E025", 20, "its address stands only there", ""),
        ("webhook: 123", "E022", 20, "expected a text, found '123'", ""),
        ("webhook: [my_bot]", "E022", 11, "expected a text, found a list", ""),
        ("call: notebook.append", "E021", 11, "'folder' is missing", ""),
        ("call: notebook.apend", "E071", 17, "no installed package has an action 'notebook.apend'", "did you mean"),
        ("call: {name: notebook.append, args: null}", "E022", 47, "expected keys and values", ""),
        ("call: {args: {}}", "E021", 11, "'name' is missing", ""),
        (f"call: {{name: notebook.append, args: {{folder: {'x' * 5000}}}}}", "E025", 41, "args may have 4096 characters", ""),
        ("page", "E025", 11, "an action is alert, webhook: NAME", ""),
        ("{webhook: my_bot, alert: true}", "E025", 11, "an action is alert, webhook: NAME", ""),
    ],
)
def test_mistake_is_told_where_it_stands(  # noqa: PLR0917 - a table
    tmp_path: Path, action: str, code: str, column: int, says: str, hint: str
) -> None:
    (problem,) = problems(tmp_path, action)
    assert (problem.id, problem.line, problem.column) == (code, 8, column), problem
    assert says in problem.message
    assert hint in problem.hint


def test_check_without_the_package_says_where_it_belongs(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD)
    assert problem.id == "E071"
    assert "none is installed here" in problem.message
    assert "install its package where guard runs" in problem.hint


@pytest.mark.usefixtures("installed")
def test_check_of_a_bare_pack_warns_of_a_webhook_that_it_cannot_know(tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text(RULE % "webhook: my_bot")
    (problem,) = check([tmp_path / "pack.yaml"])
    assert (problem.id, problem.severity, problem.line) == ("W070", "warning", 8)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return int(caught.value.code or 0)


@pytest.mark.usefixtures("installed")
def test_resolved_rule_shows_its_actions_and_can_be_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    problems(tmp_path, f"alert\n        - webhook: my_bot\n        - {GOOD}\n        - quarantine")
    monkeypatch.chdir(tmp_path)
    assert run("--json", "rules", "show", "busy", "--resolved") == Exit.OK
    shown = json.loads(capsys.readouterr().out)["keys"]
    steps: list[dict[str, Any]] = shown["actions"]["danger"]
    assert steps[:3] == [
        {"alert": True},
        {"webhook": {"to": "my_bot"}},
        {"call": {"name": "notebook.append", "timeout": "3s", "args": {"folder": ".", "style": "long"}}},
    ]
    assert steps[3]["quarantine"]["for"] == "30m"
    (tmp_path / "mine.yaml").write_text(json.dumps({"rules": {"busy": shown}}))
    assert list(check([tmp_path / "guard.yaml"])) == []


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("import no_such_library_anywhere\n", "ModuleNotFoundError"),
        ("Append = 1\n", "it must be a class with a method run(event)"),
        ("class Append:\n    def run(self, event): ...\n", "it needs Parameters, a pydantic model"),
        (
            "import pydantic\nclass Append:\n    class Parameters(pydantic.BaseModel): ...\n    def run(self, event): ...\n",
            "ConfigDict(frozen=True",
        ),
    ],
)
def test_action_that_is_broken_is_told_at_the_rule(
    tmp_path: Path, site: Path, module: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "site"
    other.mkdir()
    (other / "guard_notebook.py").write_text(module)
    monkeypatch.setattr(sys, "path", [str(other), str(site), *sys.path])
    (problem,) = problems(tmp_path, GOOD)
    assert problem.id == "E072"
    assert says in problem.message


def test_schema_describes_both_actions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rules", "schema") == Exit.OK
    named = json.loads(capsys.readouterr().out)["$defs"]
    for name in ("WebhookAction", "CallAction"):
        assert named[name]["description"]
        assert all(key.get("description") or "pattern" in key for key in named[name]["properties"].values())
    assert run("rules", "schema", "--config") == Exit.OK
    settings = json.loads(capsys.readouterr().out)["$defs"]["WebhookSettings"]["properties"]
    assert set(settings) == {"url", "secret", "timeout", "headers"}
    assert all(key["description"] for key in settings.values())


@pytest.mark.parametrize(
    ("action", "is_valid"),
    [
        ("alert", True),
        ({"webhook": "my_bot"}, True),
        ({"webhook": {"to": "my_bot"}}, True),
        ({"call": "notebook.append"}, True),
        ({"call": {"name": "notebook.append", "timeout": "3s", "args": {"any": [1]}}}, True),
        ({"webhook": 3}, False),
        ({"webhook": {"url": "https://x"}}, False),
        ({"call": {"timeout": "3s"}}, False),
        ({"call": {"name": "os:system"}}, False),
    ],
)
def test_editors_are_told_the_same(action: object, is_valid: bool) -> None:  # noqa: FBT001 - a table
    validator = pytest.importorskip("jsonschema", reason="an editor's validator").Draft7Validator(pack_schema())
    rule = {"when": "trades(10s) > 3", "level": "danger", "actions": {"danger": [action]}}
    assert validator.is_valid({"rules": {"busy": rule}}) is is_valid
