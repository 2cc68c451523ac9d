"""The schemas that editors read, held to an independent validator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from guard.cli.main import main
from guard.dsl.document import plain
from guard.dsl.examples import EXAMPLES
from guard.dsl.problems import Report
from guard.dsl.reading import read_text
from guard.dsl.schema import config_schema, pack_schema, schema_of
from guard.runtime.rehearsal.script import Case, CaseFile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKS = sorted(path for path in (ROOT / "rules").glob("*.yaml") if not path.name.endswith(".test.yaml"))
TESTS = sorted((ROOT / "rules").glob("*.test.yaml"))
SCHEMAS = {"pack": pack_schema(Case), "guard": config_schema(), "tests": schema_of(CaseFile)}


def document(text: str) -> object:
    report = Report()
    root = read_text("a.yaml", text, report)
    assert root is not None, report.problems
    return plain(root)


def faults(schema: str, text: str) -> list[str]:
    """Return where a text offends, as keys joined by dots."""
    found = Draft7Validator(SCHEMAS[schema]).iter_errors(document(text))
    return sorted(".".join(map(str, error.absolute_path)) for error in found)


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, body in (("", schema), *schema["$defs"].items()):
        for part in (body, *body.get("anyOf", ())):
            for key, found in part.get("properties", {}).items():
                yield f"{name}.{key}", found


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_draft_7(name: str) -> None:
    schema = SCHEMAS[name]
    Draft7Validator.check_schema(schema)
    text = str(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "prefixItems" not in text
    assert "unevaluated" not in text


@pytest.mark.parametrize("name", SCHEMAS)
def test_nothing_stands_beside_a_reference_where_draft_7_would_not_see_it(name: str) -> None:
    assert [key for key, found in properties(SCHEMAS[name]) if "$ref" in found and len(found) > 1] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_has_a_description_and_examples(name: str) -> None:
    assert [key for key, found in properties(SCHEMAS[name]) if not found.get("description") or not found.get("examples")] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_example_and_default_is_what_the_schema_allows(name: str) -> None:
    schema = SCHEMAS[name]
    wrong = []
    for key, found in properties(schema):
        validator = Draft7Validator({**found, "$defs": schema["$defs"]})
        shown = [*found["examples"], *([found["default"]] if "default" in found else [])]
        wrong += [(key, each) for each in shown if not validator.is_valid(each)]
    assert wrong == []


def test_every_example_of_the_table_belongs_to_a_key() -> None:
    known = set()
    for schema in SCHEMAS.values():
        for key, _ in properties(schema):
            name, _, field = key.rpartition(".")
            known |= {f"{prefix}.{field}" for prefix in (name or "Pack", name or "GuardConfig", name or "CaseFile")}
            known.add(f"{name.removeprefix('Test')}.{field}")
    assert set(EXAMPLES) - known == set()


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_shipped_packs_pass(path: Path) -> None:
    assert faults("pack", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_shipped_tests_pass(path: Path) -> None:
    assert faults("tests", path.read_text(encoding="utf-8")) == []


def test_our_guard_yaml_and_those_of_init_pass(tmp_path: Path) -> None:
    assert faults("guard", (ROOT / "guard.yaml").read_text(encoding="utf-8")) == []
    for number, words in enumerate(([], ["--exchange", "kucoin"])):
        folder = tmp_path / str(number)
        with pytest.raises(SystemExit):
            main(["init", str(folder), *words])
        text = (folder / "guard.yaml").read_text(encoding="utf-8")
        assert faults("guard", text) == []
        modeline = text.splitlines()[0]
        assert modeline.startswith("# yaml-language-server: $schema=")
        assert (folder / modeline.partition("=")[2]).is_file()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rules: {a: {whem: ret(60s) > 1%, level: danger}}", "rules.a"),
        ("rules: {a: {when: ret(60s) > 1%, level: dangr}}", "rules.a.level"),
        ("rules: {a: {when: ret(60s) > 1%, level: danger, for: 5}}", "rules.a.for"),
        ("rules: {A: {when: ret(60s) > 1%, level: danger}}", "rules"),
        ("rules: {a: {mode: on, when: ret(60s) > 1%, level: danger}}", "rules.a.mode"),
        ("rules: {a: {risk: {x: {value: ret(60s)}}}}", "rules.a.risk.x"),
        ("rules: {a: {risk: {x: {weight: 0, value: ret(60s)}}}}", "rules.a.risk.x.weight"),
        ("rules: {a: {level: danger, when: x, actions: {danger: [{quarantine: {fo: 3m}}]}}}", "rules.a.actions.danger.0"),
        ("override: {a: {levels: {danger: 2}}}", "override.a.levels.danger"),
        ("override: {a: {lvels: {danger: 0.9}}}", "override.a"),
        ("tests: {a: {rule: b, expect: [{nevr: warning}]}}", "tests.a.expect.0"),
        ("version: 2", "version"),
        ("rulse: {}", ""),
    ],
)
def test_mistakes_of_a_pack_are_red_at_their_place(text: str, place: str) -> None:
    assert faults("pack", text) == [place]


def test_an_override_may_name_a_single_key_of_a_factor() -> None:
    assert faults("pack", "override: {a: {risk: {x: {weight: 0.2}}, actions: {danger: [alert]}}}") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("exchanges: {}", "exchanges"),
        ("mode: observe", ""),
        ("exchanges: {sim: {stream: [trades]}}", "exchanges.sim"),
        ("exchanges: {sim: {}}\noverride: {a: {mode: loud}}", "override.a.mode"),
        ("exchanges: {sim: {}}\nalerts: {repeat: 4}", "alerts.repeat"),
    ],
)
def test_mistakes_of_guard_yaml_are_red_at_their_place(text: str, place: str) -> None:
    assert faults("guard", text) == [place]


def test_installed_detectors_are_offered_and_others_allowed() -> None:
    assert "pump_dump" in str(SCHEMAS["pack"]["$defs"]["Use"]["properties"]["detector"])
    assert faults("pack", "rules: {a: {level: danger, when: x.score > 0, use: {x: {detector: theirs}}}}") == []
