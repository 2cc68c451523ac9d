"""``guard rules``: write, check, test, explain and promote rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.guard_file import guard_file
from guard.cli.pack_names import files_of
from guard.cli.rules_check import check
from guard.cli.rules_diff import diff, upgrade_of
from guard.cli.rules_error import error
from guard.cli.rules_explain import explain
from guard.cli.rules_new import new
from guard.cli.rules_promote import promote
from guard.cli.rules_reload import reload
from guard.cli.rules_schema import language, schema
from guard.cli.rules_sweep import sweep
from guard.cli.rules_test import test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.cli.output import Output
    from guard.dsl.rules import RuleSet, RuleSource

__all__ = ["rules"]

_PATH = click.Path(path_type=Path)


# As a rule comes to be: written and looked up, checked, tried, taken over; then what an upgrade does, and tools for editors.
_ORDER: Final = (
    ("Write and check", ("new", "check", "error", "features", "language", "list", "show")),
    ("Try", ("test", "explain", "sweep")),
    ("Take over", ("promote", "reload", "diff")),
    ("For editors", ("schema",)),
)


class _Stages(click.Group):
    """A group that shows its commands in the order in which they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help page."""
        del ctx
        return [name for _, names in _ORDER for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what they are for."""
        for title, names in _ORDER:
            rows = [(name, command.get_short_help_str(90)) for name in names if (command := self.get_command(ctx, name))]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=_Stages)
def rules() -> None:
    """Write, check, test, explain and promote rules."""


for _command in (check, error, reload, language, schema, test, diff, new, promote, sweep, explain):
    rules.add_command(_command)


def _rule_set(paths: Sequence[Path]) -> RuleSet:
    from guard.dsl import load_guard, load_rules

    if paths:
        return load_rules(files_of(paths))
    config = load_guard(guard_file(), os.environ)
    # As guard runs them: a mode that an upgrade raised is held down.
    return upgrade_of(config, None).take(config, load_rules(config))


@rules.command("list")
@click.argument("paths", nargs=-1, type=_PATH)
@click.pass_obj
def list_rules(output: Output, paths: Sequence[Path]) -> None:
    """List rules with their mode.

    PATHS are packs, folders of them, or guard:NAME for a shipped one; the default is the guard.yaml in use. Rules in mode shadow
    neither alert nor block.
    """
    found = [_row(rule) for rule in _rule_set(paths).rules]
    if output.is_json:
        output.document({"rules": found})
        return
    for row in found:
        together = f"  [per {row['per']}, quorum {row['quorum']}]" if row["quorum"] else ""
        output.text(f"{row['rule']:<24} {row['mode'].upper():<9} {row['title']}{together}  ({row['file']}:{row['line']})")


def _row(rule: RuleSource) -> dict[str, Any]:
    spec = rule.spec
    assert spec is not None
    return {
        "rule": rule.id,
        "mode": str(spec.mode),
        "title": spec.title,
        "per": str(spec.per),
        "quorum": None if spec.quorum is None else str(spec.quorum),
        "detectors": [use.detector for use in spec.use.values()],
        "file": rule.file,
        "line": rule.place.line,
        "hash": rule.hash,
    }


@rules.command
@click.argument("word", default="")
@click.option("--markdown", is_flag=True, help="All of them as one page.")
@click.pass_obj
def features(output: Output, word: str, *, markdown: bool) -> None:
    """List the features that expressions can name.

    With WORD: those that have it in their name or description; exit code 1 where none has.
    """
    from guard.dsl.describe import described
    from guard.dsl.feature_page import feature_page

    if markdown:
        page = feature_page().rstrip("\n")
        output.document({"page": page}) if output.is_json else output.text(page)
        return
    rows = [row for row in described() if word.lower() in f"{row['name']} {row['doc']}".lower()]
    if word and not rows:
        from guard.dsl.problems import meant
        from guard.errors import OperationRefused

        near = meant(word, sorted({str(row["name"]) for row in described()}))
        hint = "`guard rules features` lists all" if near is None else f"did you mean {near}?"
        raise OperationRefused(f"no feature has {word!r} in its name or description; {hint}")
    if output.is_json:
        output.document({"features": rows})
        return
    for row in rows:
        output.text(f"{row['usage']:<44} {row['unit']:<9} {row['doc']}")
        if row["formula"]:
            output.text(f"{'':<44} {'':<9} = {row['formula']}")


@rules.command
@click.argument("rule_id", metavar="RULE")
@click.argument("paths", nargs=-1, type=_PATH)
@click.option("--resolved", is_flag=True, help="With defaults filled in, and where each key comes from.")
@click.pass_obj
def show(output: Output, rule_id: str, paths: Sequence[Path], *, resolved: bool) -> None:
    """Show RULE as it stands after overrides.

    PATHS are packs, folders of them, or guard:NAME for a shipped one; the default is the guard.yaml in use.
    """
    from guard.dsl.describe import origins, shown
    from guard.dsl.problems import guessed
    from guard.errors import OperationRefused

    found = {rule.id: rule for rule in _rule_set(paths).rules}
    rule = found.get(rule_id)
    if rule is None:
        raise OperationRefused(guessed(f"there is no rule {rule_id!r}", rule_id, found))
    if output.is_json:
        output.document({"rule": rule_id, "hash": rule.hash, "keys": shown(rule, resolved=resolved), "origins": origins(rule)})
        return
    import yaml

    output.text(yaml.safe_dump({rule_id: shown(rule, resolved=resolved)}, sort_keys=False, allow_unicode=True, width=120).rstrip())
    for key, place in origins(rule).items() if resolved else ():
        output.text(f"# {key:<40} {place}")
