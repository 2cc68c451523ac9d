"""Packs that include packs: where files may lie, where mistakes are shown, and what ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.dsl import check, load_guard, load_rules, rules_from_text
from guard.dsl.document import plain
from guard.dsl.includes import DEPTH_MAX, Include, PackFile, gathered
from guard.dsl.loading import includes_of
from guard.dsl.problems import Report
from guard.errors import RuleError

CONFIG = "version: 1\nrules: [rules/main.yaml]\nexchanges: {sim: {connector: sim}}\n"


def rule(name: str, when: str = "trades(10s) > 3") -> str:
    return f"rules:\n  {name}: {{when: {when}, level: danger}}\n"


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(folder: Path, name: str = "main.yaml") -> list[tuple[str, int, int, str]]:
    problems = check([folder / name])
    return [(problem.file.removeprefix(f"{folder}/"), problem.line, problem.column, problem.id) for problem in problems]


def names(folder: Path, name: str = "main.yaml") -> list[str]:
    return [each.id for each in load_rules([folder / name]).rules]


def test_rules_of_included_files_follow_those_of_the_file(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "main.yaml": "include: [parts/*.yaml, other.yml]\n" + rule("own"),
            "parts/b.yaml": rule("b"),
            "parts/a.yaml": rule("a"),
            "other.yml": rule("other"),
            "parts/a.test.yaml": "tests: {}",
        },
    )
    assert names(tmp_path) == ["own", "a", "b", "other"]


def test_paths_are_relative_to_the_file_that_includes(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: a/one.yaml", "a/one.yaml": "include: b/two.yaml", "a/b/two.yaml": rule("two")})
    assert names(tmp_path) == ["two"]


def test_a_mistake_is_shown_where_it_stands_in_the_included_file(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: parts/a.yaml\n" + rule("own"), "parts/a.yaml": "\n" + rule("a", "retn(60s) > 1%")})
    assert found(tmp_path) == [("parts/a.yaml", 3, 13, "E042")]


def test_a_broken_included_file_is_shown_at_its_own_line(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: [a.yaml, b.yaml]\n", "a.yaml": "rules:\n\ta: 1\n", "b.yaml": "rulez: {}\n"})
    assert found(tmp_path) == [("a.yaml", 2, 1, "E007"), ("b.yaml", 1, 1, "E020")]


def test_lists_and_macros_stay_in_their_file(tmp_path: Path) -> None:
    inside = "lists: {majors: [BTC/USDT]}\nmacros: {busy: trades(10s) > 3}\n" + rule("a", "busy and not (market.symbol in $majors)")
    written(tmp_path, {"main.yaml": "include: a.yaml\n" + rule("own", "busy"), "a.yaml": inside})
    assert found(tmp_path) == [("main.yaml", 3, 15, "E042")]


def test_the_including_file_overrides_and_an_included_one_may_too(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "main.yaml": "include: [a.yaml, b.yaml]\noverride: {a: {mode: enforce}}",
            "a.yaml": rule("a"),
            "b.yaml": "override: {a: {for: 5s}}",
        },
    )
    spec = load_rules([tmp_path / "main.yaml"]).rules[0].spec
    assert spec is not None
    assert (spec.mode, spec.for_us) == ("enforce", 5_000_000)


def test_a_file_that_is_asked_for_twice_is_read_once(tmp_path: Path) -> None:
    files = {"main.yaml": "include: [a.yaml, b.yaml, ./a.yaml, c.yaml]", "a.yaml": rule("a"), "b.yaml": "include: a.yaml"}
    written(tmp_path, files)
    (tmp_path / "c.yaml").symlink_to("a.yaml")
    assert names(tmp_path) == ["a"]
    assert [each.id for each in load_rules([tmp_path]).rules] == ["a"]


def test_the_same_rule_in_two_files_is_told_at_the_second(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: a.yaml\n" + rule("a"), "a.yaml": rule("a")})
    assert found(tmp_path) == [("a.yaml", 2, 3, "E026")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("/etc/rules.yaml", "E060"),
        ("~/rules.yaml", "E060"),
        ("../outside.yaml", "E060"),
        ("../*.yaml", "E060"),
        ("parts/../../outside.yaml", "E060"),
        ("parts/*/../../../outside.yaml", "E060"),
        ("'**/**/x.yaml'", "E060"),
        ("'[/x.yaml'", "E028"),
        ("'a[!]/../x.yaml'", "E060"),
        (f"{'x' * 5000}.yaml", "E028"),
        ("missing.yaml", "E028"),
        ("parts/*.yaml", "E028"),
        ("parts", "E028"),
        ("'*.yml'", "E028"),
        ("guard:pump_dump", "E028"),
        ("main.test.yaml", "E028"),
        ('""', "E028"),
        ("[{a: 1}]", "E022"),
    ],
)
def test_what_cannot_be_included_is_told_at_its_own_line(tmp_path: Path, text: str, code: str) -> None:
    files = {"inside/main.yaml": f"version: 1\ninclude:\n  - {text}\n", "outside.yaml": rule("out"), "inside/main.test.yaml": "{}"}
    if text == "[{a: 1}]":
        files["inside/main.yaml"] = "version: 1\ninclude:\n  - {a: 1}\n"
    written(tmp_path, files)
    (tmp_path / "inside" / "parts" / "deep").mkdir(parents=True)
    assert found(tmp_path / "inside")[0][1:] == (3, 5, code)


def test_a_symlink_must_not_lead_out(tmp_path: Path) -> None:
    written(
        tmp_path, {"inside/main.yaml": "include: ['*.yaml', far/out.yaml]", "out.yaml": rule("out"), "inside/in.yaml": rule("in_")}
    )
    (tmp_path / "inside" / "link.yaml").symlink_to(tmp_path / "out.yaml")
    (tmp_path / "inside" / "far").symlink_to(tmp_path)
    problems = check([tmp_path / "inside" / "main.yaml"])
    assert [(problem.id, problem.column) for problem in problems] == [("E060", 11), ("E060", 21)]
    assert "link.yaml is a symlink that leads out of" in problems[0].message


def test_a_symlink_that_runs_in_a_circle_is_no_file(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: [a.yaml]"})
    (tmp_path / "a.yaml").symlink_to("a.yaml")
    assert found(tmp_path) == [("main.yaml", 1, 11, "E028")]


def test_symlinks_that_stay_inside_are_followed_as_a_mounted_folder_has_them(tmp_path: Path) -> None:
    written(tmp_path, {"..2027/main.yaml": "include: part.yaml", "..2027/part.yaml": rule("part")})
    (tmp_path / "..data").symlink_to("..2027")
    for name in ("main.yaml", "part.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    assert names(tmp_path) == ["part"]


def test_a_circle_of_includes_names_its_files(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: a.yaml", "a.yaml": "include: b.yaml", "b.yaml": rule("b") + "include: a.yaml"})
    (problem,) = check([tmp_path / "main.yaml"])
    assert (problem.id, problem.line, problem.column) == ("E048", 3, 10)
    assert problem.file.endswith("b.yaml")
    assert [part.rpartition("/")[2] for part in problem.message.split(" -> ")] == ["a.yaml", "b.yaml", "a.yaml"]


def test_a_file_that_names_itself_is_a_circle_and_a_glob_that_matches_it_is_none(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: main.yaml", "all.yaml": "include: p*.yaml", "part.yaml": rule("part")})
    assert [code for *_, code in found(tmp_path)] == ["E048"]
    written(tmp_path, {"all.yaml": "include: '*a*.yaml'", "main.yaml": rule("own")})
    assert names(tmp_path, "all.yaml") == ["own", "part"]


def test_includes_end_at_a_depth(tmp_path: Path) -> None:
    chain = {f"f{at}.yaml": f"include: f{at + 1}.yaml" for at in range(DEPTH_MAX)}
    written(tmp_path, {**chain, f"f{DEPTH_MAX}.yaml": rule("last")})
    assert names(tmp_path, "f0.yaml") == ["last"]
    written(tmp_path, {"start.yaml": "include: f0.yaml"})
    assert found(tmp_path, "start.yaml") == [(f"f{DEPTH_MAX - 1}.yaml", 1, 10, "E009")]


def test_includes_end_at_a_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.dsl.includes.INCLUDED_MAX", 5)
    written(tmp_path, {"main.yaml": "include: parts/*.yaml", **{f"parts/p{at}.yaml": rule(f"p{at}") for at in range(6)}})
    assert [(line, column, code) for _, line, column, code in found(tmp_path)] == [(1, 10, "E010")]


def test_includes_of_a_configuration_stay_under_its_folder(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "guard/guard.yaml": CONFIG,
            "guard/rules/main.yaml": "include: [../shared/common.yaml]",
            "guard/shared/common.yaml": rule("common"),
            "out.yaml": rule("out"),
        },
    )
    config = load_guard(tmp_path / "guard" / "guard.yaml", {})
    assert [each.id for each in load_rules(config).rules] == ["common"]
    # The same pack named alone stays under its own folder.
    assert found(tmp_path / "guard" / "rules") == [("main.yaml", 1, 11, "E060")]
    written(tmp_path, {"guard/rules/main.yaml": "include: [../../out.yaml]"})
    with pytest.raises(RuleError, match="leads out of"):
        load_rules(config)


def test_a_pack_outside_of_the_configuration_includes_from_its_own_folder(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "guard/guard.yaml": CONFIG.replace("rules/main.yaml", "../mounted/main.yaml"),
            "mounted/main.yaml": "include: part.yaml",
            "mounted/part.yaml": rule("part"),
        },
    )
    assert [each.id for each in load_rules(load_guard(tmp_path / "guard" / "guard.yaml", {})).rules] == ["part"]


def test_what_was_asked_for_is_told_also_where_it_is_missing(tmp_path: Path) -> None:
    written(tmp_path, {"main.yaml": "include: [a.yaml, 'b/*.yaml', '/**', '../**']", "a.yaml": rule("a")})
    seen: set[Include] = set()
    with pytest.raises(RuleError):
        load_rules([tmp_path / "main.yaml"], seen=seen)
    assert seen == {Include(tmp_path, "a.yaml"), Include(tmp_path, "b/*.yaml")}


def test_a_watcher_learns_what_files_folders_and_configurations_include(tmp_path: Path) -> None:
    files = {"guard.yaml": CONFIG, "rules/main.yaml": "include: [a.yaml, gone.yaml]", "rules/a.yaml": "include: b/*.yaml"}
    written(tmp_path, files)
    rules = tmp_path / "rules"
    wanted = {Include(rules, "a.yaml"), Include(rules, "gone.yaml"), Include(rules, "b/*.yaml")}
    for path in (tmp_path / "guard.yaml", rules, rules / "main.yaml"):
        assert includes_of([path]) == wanted
    assert includes_of([tmp_path / "nowhere.yaml"]) == frozenset()


def test_a_text_includes_nothing() -> None:
    report = Report()
    rules_from_text("include: a.yaml\n" + rule("own"), report)
    assert [problem.id for problem in report.errors] == ["E060"]


ODD = ["*", "**", "..", ".", "~", "a", "a.yaml", "[a", "?", "", "x" * 300, "sub", "link", "{a}", "\\", "guard:a"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(ODD)), is_file=st.booleans())
def test_whatever_is_asked_for_nothing_outside_is_read(tmp_path: Path, parts: list[str], *, is_file: bool) -> None:
    text = "/".join(parts) + (".yaml" if is_file else "")
    folder = tmp_path / "inside"
    written(tmp_path, {"out.yaml": rule("out"), "a/out.yaml": rule("out")})
    written(folder, {"a.yaml": rule("a"), "sub/a.yaml": rule("b"), "main.yaml": f"include: [{json.dumps(text)}]\n"})
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to(tmp_path)
    found = gathered([PackFile(folder / "main.yaml", "main.yaml", folder)], Report())
    assert all("out" not in plain(tree)["rules"] for _, tree in found[1:] if tree is not None)
    assert all(Path(shown).resolve().is_relative_to(folder) for shown, _ in found[1:])
