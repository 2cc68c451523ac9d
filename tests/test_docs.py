"""The pages people read: their links lead somewhere, their commands exist, and they speak of no machine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import pytest

from guard.cli.main import guard as cli
from guard.cli.main import main
from guard.cli.output import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FRAGMENTS: Final = sorted((ROOT / "changelog.d").iterdir())
KINDS: Final = ("added", "changed", "fixed", "security", "rules")
WORDS: Final = (
    "exchange", "symbol", "market", "event", "connector", "feature", "detector", "finding", "pattern", "rule", "pack", "risk",
    "factor", "level", "verdict", "quarantine", "probation", "release", "action", "alert", "channel", "clearance", "ledger",
)  # fmt: skip

LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE: Final = re.compile(r"^( *)(```+|~~~+)(\w*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
SHELLS: Final = frozenset({"", "sh", "bash", "shell", "console", "text", "yaml", "dockerfile", "ini", "systemd"})
INLINE: Final = re.compile(r"`([^`\n]+)`")
PATH: Final = re.compile(r"(?<![\w.~$}/-])/(?:home|Users|root|work|private|mnt)/[\w.-]")
PATH_WINDOWS: Final = re.compile(r"\b[A-Z]:\\{1,2}Users\b")


class Command(NamedTuple):
    """One call of the command line that a page shows."""

    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {self.text}"


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(page: Path, text: str) -> Iterator[Command]:
    """Yield every ``guard ...`` and ``make ...`` of a page's blocks, fenced or indented, and of its inline code."""
    fenced = {}
    for block in FENCE.finditer(text):
        first = text[: block.start(4)].count("\n") + 1
        is_shell = block[3].lower() in SHELLS
        fenced.update({first + number: is_shell for number in range(-1, block[4].count("\n") + 1)})
    is_indented = False
    for number, line in enumerate(text.splitlines(), start=1):
        was_blank = number == 1 or not text.splitlines()[number - 2].strip()
        is_indented = line.startswith("    ") and (is_indented or was_blank)
        if number in fenced or is_indented:
            word = re.sub(r"^\$ |^[A-Z_]+=\S+ |^(sudo|uv run|docker exec \S+) ", "", line.strip())
            if fenced.get(number, True) and re.match(r"(guard|make) [a-z-]", word):
                yield Command(page, number, word)
        else:
            yield from (Command(page, number, code) for code in INLINE.findall(line) if re.match(r"(guard|make) [a-z-]", code))


def mistakes(text: str) -> list[str]:
    """Return what is wrong with one call: a command, subcommand or option that does not exist."""
    words = shlex.split(text.partition(" | ")[0].rstrip("\\").rstrip(), comments=True)
    return [*_target(words[1])] if words[0] == "make" else [*_of_guard(words[1:])]


def _target(word: str) -> Iterator[str]:
    if not re.search(rf"^{re.escape(word)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE):
        yield f"no target {word!r} in the Makefile"


def _of_guard(words: list[str]) -> Iterator[str]:
    command: click.Command = cli
    context = click.Context(cli)
    rest = [word for word in words if word != "--json"]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        # `a|b|c` names several subcommands at once.
        found = [command.get_command(context, part) for part in name.split("|")]
        if None in found:
            yield f"no command {name!r}"
            return
        assert found[0] is not None
        command = found[0]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"-h", "--help"}
    for word in rest:
        option = word.partition("=")[0]
        if re.match(r"--?[a-z]", option) and option not in known:
            yield f"no option {option!r}"
    if isinstance(command, click.Group) and not command.invoke_without_command and not known & set(rest) and words:
        yield "needs a subcommand" if not rest else f"stray {rest}"


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_relative_links_lead_to_files(page: Path) -> None:
    dead = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        place = target.partition("#")[0]
        if re.match(r"[a-z]+:", target) or not place:
            continue
        assert not place.startswith("/"), target
        if not (page.parent / place).exists():
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_anchors_lead_to_headings(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        place, _, anchor = target.partition("#")
        other = page.parent / place if place else page
        if re.match(r"[a-z]+:", target) or not anchor or not other.is_file() or other.suffix != ".md":
            continue
        headings = re.findall(r"^#+ +(.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_commands_that_a_page_names_exist(page: Path) -> None:
    found = calls(page, page.read_text(encoding="utf-8"))
    assert [f"{call}: {mistake}" for call in found for mistake in mistakes(call.text)] == []


def test_readme_shows_how_to_start_and_how_to_test() -> None:
    named = {call.text.split()[1] for page in PAGES[:2] for call in calls(page, page.read_text(encoding="utf-8"))}
    assert {"run", "test"} <= named


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("guard nothing", "no command 'nothing'"),
        ("guard rules chekc", "no command 'chekc'"),
        ("guard check sim:X/USDT --no-such", "no option '--no-such'"),
        ("guard rules check --fast", "no option '--fast'"),
        ("make nothing", "no target 'nothing' in the Makefile"),
        ("guard check sim:X/USDT --side buy  # the answer", ""),
        ("guard --json rules check rules", ""),
        ('make run ARGS="--for 5s"', ""),
    ],
)
def test_wrong_command_is_found_and_a_right_one_passes(text: str, told: str) -> None:
    assert mistakes(text) == ([told] if told else [])


def test_calls_are_found_in_every_kind_of_code() -> None:
    text = "Say `guard run`.\n\n    guard status  # board\n\n```sh\n$ guard doctor\n```\n"
    text += "\n```python\nguard = 1\n```\n\nguard watches\n"
    assert [(call.line, call.text) for call in calls(ROOT / "x.md", text)] == [
        (1, "guard run"),
        (3, "guard status  # board"),
        (6, "guard doctor"),
    ]


@pytest.mark.parametrize("word", WORDS)
def test_glossary_explains_the_word(word: str) -> None:
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert any(f"**{word}**" in row for row in rows)


def test_every_exit_code_is_explained() -> None:
    page = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    assert [code for code in Exit if not re.search(rf"^\| {int(code)} \|", page, re.MULTILINE)] == []


def test_decisions_are_numbered_without_a_hole_and_say_why() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert all(f"**{part}" in text for part in ("Context", "Choice", "Rejected", "What would change our mind")), page.name


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=shown)
def test_fragment_of_the_changelog_is_named_by_number_and_kind(fragment: Path) -> None:
    assert re.fullmatch(rf"\d{{4}}\.({'|'.join(KINDS)})\.md", fragment.name)
    assert fragment.read_text(encoding="utf-8").strip().endswith(".")


def test_no_tracked_file_names_a_place_on_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode or not listed.stdout:
        pytest.skip("this checkout has no git history")
    told = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        lines = (number for number, line in enumerate(text.splitlines(), start=1) if PATH.search(line) or PATH_WINDOWS.search(line))
        told += [f"{name}:{number}" for number in lines]
    assert told == []


def test_planted_place_on_a_machine_is_found() -> None:
    assert PATH.search("see /" + "home/somebody/notes")
    assert PATH_WINDOWS.search("C:" + "\\Users\\somebody")
    assert not PATH.search("a path such as ./" + "work/one, or https://example.org/home/page")


def test_first_page_of_the_help_names_the_commands_of_every_day() -> None:
    help_text = cli.get_help(click.Context(cli, info_name="guard"))
    first = help_text.partition("Start here")[2].partition("More")[0]
    assert all(
        re.search(rf"^  {name} ", first, re.MULTILINE) for name in ("init", "run", "status", "why", "doctor", "check", "bypass")
    )


def commands(group: click.Group, path: str = "guard") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_every_command_says_what_it_does_in_one_line_of_a_terminal() -> None:
    told = {path: command.get_short_help_str(62) for path, command in commands(cli)}
    assert {path: text for path, text in told.items() if not text or text.endswith("...")} == {}


def test_examples_of_configuration_in_the_pages_are_valid(tmp_path: Path) -> None:
    from guard.dsl import check

    found = 0
    for page in PAGES:
        for block in FENCE.finditer(page.read_text(encoding="utf-8")):
            text = block[4]
            if block[3] != "yaml" or not re.search(r"^(exchanges|rules):", text, re.MULTILINE):
                continue
            is_config = re.search(r"^exchanges:", text, re.MULTILINE)
            path = tmp_path / f"{found}" / ("guard.yaml" if is_config else "pack.yaml")
            path.parent.mkdir()
            path.write_text(text if text.startswith("version:") else f"version: 1\n{text}", encoding="utf-8")
            problems = [str(problem) for problem in check([path], env={}) if problem.severity == "error"]
            assert problems == [], f"{shown(page)}: {json.dumps(problems)}"
            found += 1


def test_worked_example_of_a_rule_passes_its_own_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [block[4] for block in FENCE.finditer((ROOT / "docs" / "rules.md").read_text(encoding="utf-8")) if block[3] == "yaml"]
    (text,) = [block for block in blocks if "\ntests:" in block]
    (tmp_path / "pack.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["rules", "test", str(tmp_path / "pack.yaml")])
    assert caught.value.code == Exit.OK, capsys.readouterr().out


def test_pages_name_every_key_that_a_person_may_write() -> None:
    from guard.dsl.loading import INERT_KEYS
    from guard.dsl.rule_models import Escalate, Pack, QuarantineAction, Release, RuleSpec, ScopeSpec
    from guard.dsl.settings import AlertSettings, AllowEntry, ChannelSettings, ExchangeSettings, GuardConfig, LogSettings
    from guard.runtime.rehearsal.script import Case, Expectation, MarketSpec, Order, Recording, Step, Wall, Wash
    from guard_sim.options import Options
    from guard_sim.schedule import PATTERNS
    from guard_sim.server.faults import KINDS as FAULTS

    rule = (RuleSpec, ScopeSpec, Pack, QuarantineAction, Escalate, Release)
    test = (Case, Expectation, MarketSpec, Order, Recording, Step, Wall, Wash)
    config = (GuardConfig, ExchangeSettings, ChannelSettings, AlertSettings, AllowEntry, LogSettings)
    wanted = {
        "rules.md": {field.alias or name for model in rule + test for name, field in model.model_fields.items()},
        "configuration.md": {field.alias or name for model in config for name, field in model.model_fields.items()}
        | {".".join(path) for path in INERT_KEYS},
        # The snapshot is set by guard itself, and a speed other than 1 is refused.
        "simulate.md": {*Options.__dataclass_fields__, *PATTERNS, *FAULTS} - {"snapshot", "speed"},
    }
    for name, words in wanted.items():
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert {word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)} == set(), name
