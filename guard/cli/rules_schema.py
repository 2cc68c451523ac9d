"""``guard rules schema`` and ``guard rules language``: what may stand in a file, for editors and for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from guard.cli.output import Output

__all__ = ["MODELINE", "language", "schema", "write_schemas"]

MODELINE = "# yaml-language-server: $schema={}"
"""The first line of a file, by which editors find its schema."""

_FILES = {"guard.schema.json": "guard", "rules.schema.json": "rules", "tests.schema.json": "tests"}


def _schema(of: str) -> dict[str, Any]:
    from guard.dsl.schema import config_schema, pack_schema, schema_of
    from guard.runtime.rehearsal.script import Case, CaseFile

    if of == "guard":
        return config_schema()
    return schema_of(CaseFile) if of == "tests" else pack_schema(Case)


def write_schemas(folder: Path) -> list[Path]:
    """Write the schemas of guard.yaml, packs and test files into a folder and return their paths; raises OSError."""
    # The mode with which a guard makes its state folder.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for name, of in _FILES.items():
        path = folder / name
        path.write_text(json.dumps(_schema(of), indent=1) + "\n", encoding="utf-8")
        written.append(path)
    return written


@click.command
@click.option("--config", "of", flag_value="guard", help="The schema of guard.yaml instead of a pack's.")
@click.option("--tests", "of", flag_value="tests", help="The schema of a test file (PACK.test.yaml).")
@click.pass_obj
def schema(output: Output, of: str | None) -> None:
    """Print the JSON schema (draft 7) of rule packs, for editors.

    guard init writes all of them beside guard.yaml.
    """
    output.text(json.dumps(_schema(of or "rules"), indent=2))


@click.command
@click.pass_obj
def language(output: Output) -> None:
    """Print the reference of the rule language as one page.

    Every key with its default and an example, units, operators, functions, names, detectors, limits.
    """
    from guard.dsl.language_page import language_page

    page = language_page().rstrip("\n")
    output.document({"page": page}) if output.is_json else output.text(page)
