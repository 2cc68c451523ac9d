"""``guard rules new``: a rule of one's own to start from, with its tests."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from guard.cli.guard_file import guard_file
from guard.cli.output import Exit
from guard.cli.rules_schema import MODELINE, write_schemas
from guard.errors import ConfigurationError, GuardError, OperationRefused

if TYPE_CHECKING:
    from guard.cli.output import Output

__all__ = ["Template", "new", "templates", "written_anew"]

_OWN: Final = Path(__file__).parent / "templates"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PACK_HEAD: Final = """\
# {name}, begun from the template {template}. In the shadow it is computed and shown, and neither tells nor blocks.
#   guard rules check {pack}      every mistake, with its line
#   guard rules test {pack}       plays {tests}
#   guard why MARKET{pad}   what it makes of a market, once guard.yaml names this file
"""
_TEST_HEAD: Final = """\
# What {name} must find, and what must leave it silent. In the shadow it blocks nothing; once it runs in mode enforce,
# add `blocked: true` where it must hold a market back.
"""


class Template(NamedTuple):
    """A pack of one rule with its tests beside it; `is_shipped` tells the packs that guard.yaml can name as they are."""

    name: str
    path: Path
    is_shipped: bool

    @property
    def tests(self) -> Path:
        """The file of its tests."""
        return self.path.with_name(f"{self.path.stem}.test.yaml")


def templates() -> dict[str, Template]:
    """Return all templates by name, the small ones first."""
    from guard.dsl import shipped_packs

    own = sorted(path for path in _OWN.glob("*.yaml") if not path.name.endswith(".test.yaml"))
    found = [*(Template(path.stem, path, is_shipped=False) for path in own)]
    found += [Template(path.stem, path, is_shipped=True) for path in shipped_packs()]
    return {template.name: template for template in found}


def written_anew(template: Template, name: str) -> tuple[str, str]:
    """Return the texts of pack and tests for a rule of this name, in the shadow, without the comments above it."""
    pack, tests = template.path.read_text(encoding="utf-8"), template.tests.read_text(encoding="utf-8")
    pack = re.sub(rf"^  {template.name}:$", f"  {name}:", pack, flags=re.MULTILINE)
    pack = re.sub(r"^    mode: \w+$", "    mode: shadow", pack, flags=re.MULTILINE)
    tests = re.sub(rf"^    rule: {template.name}$", f"    rule: {name}", tests, flags=re.MULTILINE)
    # A rule in the shadow blocks nothing: what a test says of its blocks goes, and where it says nothing else, the whole line.
    tests = re.sub(r", blocked: true\b", "", tests)
    return pack, re.sub(r"^ *- \{(?:at|by): \w+\}\n", "", tests, flags=re.MULTILINE)


@click.command
@click.argument("name", required=False)
@click.option("--from", "source", metavar="TEMPLATE", help="What to begin with; --list tells what there is.")
@click.option("--list", "is_list", is_flag=True, help="List the templates and write nothing.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The pack to write; by default NAME.yaml in the folder rules beside guard.yaml. Its tests go beside it.",
)
@click.pass_obj
def new(output: Output, name: str | None, source: str | None, out: Path | None, *, is_list: bool) -> int:
    """Write a rule of your own, with tests that pass.

    It begins in mode shadow. NAME is small letters, digits and underscores. No file that exists is written over.
    """
    if is_list:
        return _list(output)
    name, template = _asked(name, source)

    config = guard_file()
    pack = out or (config.parent / "rules" / f"{name}.yaml")
    _refuse_name(pack)
    known = _rules_of(config) or {}
    if name in known:
        raise OperationRefused(f"there is a rule {name} already, in {known[name]}; take another name")
    tests = pack.with_name(f"{pack.stem}.test.yaml")
    _write(pack, tests, _texts(template, name, pack, tests, config))
    after = _rules_of(config)
    is_named = None if after is None else name in after
    if output.is_json:
        document = {"rule": name, "template": template.name, "mode": "shadow", "written": [str(pack), str(tests)]}
        output.document({**document, "named": is_named})
        return Exit.OK
    output.text(f"wrote {pack} and {tests}")
    if is_named is False:
        output.text(f"{config} does not name it yet; add it there: rules: [..., {os.path.relpath(pack, config.parent)}]")
    output.text(f"next: guard rules test {pack}")
    return Exit.OK


def _list(output: Output) -> int:
    from guard.dsl import load_rules

    found = templates()
    titles = {rule.id: rule.spec.title for rule in load_rules(each.path for each in found.values()).rules if rule.spec}
    if output.is_json:
        rows = [{"template": each.name, "title": titles[each.name], "shipped": each.is_shipped} for each in found.values()]
        output.document({"templates": rows})
        return Exit.OK
    for each in found.values():
        output.text(f"{each.name:<16} {titles[each.name]}{'  (shipped pack)' if each.is_shipped else ''}")
    return Exit.OK


def _asked(name: str | None, source: str | None) -> tuple[str, Template]:
    """Return name and template where both can be used; raises UsageError with what is allowed."""
    from guard.dsl.problems import guessed

    found = templates()
    if name is None or source is None:
        missing = "NAME" if name is None else "--from TEMPLATE"
        raise click.UsageError(f"needs {missing}: guard rules new my_rule --from price_move; templates: {', '.join(found)}")
    if not _NAME.fullmatch(name):
        meant = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:64]
        hint = f"; did you mean {meant}?" if meant else ""
        raise click.UsageError(f"{name!r} is not a rule's name: small letters, digits and underscores, first a letter{hint}")
    template = found.get(source.replace("-", "_"))
    if template is None:
        raise click.UsageError(guessed(f"there is no template {source!r}", source, found))
    return name, template


def _refuse_name(pack: Path) -> None:
    from guard.dsl.includes import CONFIG, is_pack_name

    if not is_pack_name(pack.name) or pack.name == CONFIG:
        raise click.UsageError(f"{pack} is not the name of a pack: NAME.yaml, and not {CONFIG} nor NAME.test.yaml")


def _rules_of(config: Path) -> dict[str, str] | None:
    """Return the rules that guard.yaml names, with their places; None where it is missing or has mistakes of its own."""
    from guard.dsl import load_guard
    from guard.dsl.loading import sound_rules

    try:
        rules = sound_rules(load_guard(config, os.environ)).rules
    except ConfigurationError:
        return None
    return {rule.id: f"{rule.file}:{rule.place.line}" for rule in rules}


def _texts(template: Template, name: str, pack: Path, tests: Path, config: Path) -> tuple[str, str]:
    rule, cases = written_anew(template, name)
    pad = " " * (len(f"rules check {pack}") - len("why MARKET") + 3)
    head = _PACK_HEAD.format(name=name, template=template.name, pack=pack, tests=tests, pad=pad)
    schemas = _schemas(config)
    lines = ["" if schema is None else f"{MODELINE.format(os.path.relpath(schema, pack.parent))}\n" for schema in schemas]
    return lines[0] + head + rule, lines[1] + _TEST_HEAD.format(name=name) + cases


def _schemas(config: Path) -> tuple[Path | None, Path | None]:
    """Return where editors find the schemas of packs and tests, written where guard.yaml is and they are not; None without one."""
    folder = config.parent / ".guard"
    found = (folder / "rules.schema.json", folder / "tests.schema.json")
    if config.is_file() and not all(path.exists() for path in found):
        # The state folder may be that of a guard of another user: editors go without, and the rule is what was asked for.
        with suppress(OSError):
            write_schemas(folder)
    return (found[0] if found[0].exists() else None, found[1] if found[1].exists() else None)


def _write(pack: Path, tests: Path, texts: tuple[str, str]) -> None:
    """Write both files or none, the tests first: a running guard may take a pack over as soon as it is there."""
    for path in (pack, tests):
        if path.exists() or path.is_symlink():
            raise GuardError(f"{path} is there already; guard rules new writes no file that exists")
    try:
        pack.parent.mkdir(parents=True, exist_ok=True)
        _put(tests, texts[1])
        try:
            _put(pack, texts[0])
        except OSError:
            tests.unlink()
            raise
    except OSError as error:
        raise GuardError(f"{error.filename or pack} cannot be written: {error.strerror}") from error


def _put(path: Path, text: str) -> None:
    """Make a file that is whole from its first moment on; raises FileExistsError where there is one."""
    hidden = path.with_name(f".{path.name}.new")
    hidden.write_text(text, encoding="utf-8")
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links: the moment in which the file is empty cannot be avoided.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    finally:
        hidden.unlink()
