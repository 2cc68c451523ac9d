"""``guard rules error``: what an id means, with examples; works offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from guard.cli.output import Exit, fail

if TYPE_CHECKING:
    from guard.cli.output import Output

__all__ = ["error", "tell"]


@click.command
@click.argument("id_", metavar="[ID]", default="")
@click.pass_obj
def error(output: Output, id_: str) -> int:
    """Explain what is behind the id of a problem.

    ID is an id such as E042 or its name, unknown-name; without one, all of them are listed.
    """
    return tell(output, id_) if id_ else _list(output)


def _list(output: Output) -> int:
    from guard.dsl.explanations import EXPLANATIONS
    from guard.dsl.problems import NAMES

    if output.is_json:
        rows = [{"id": code, "name": name, "meaning": EXPLANATIONS[code].meaning} for code, name in NAMES.items()]
        output.document({"problems": rows})
        return Exit.OK
    for code, name in NAMES.items():
        output.text(f"{code}  {name:<24} {EXPLANATIONS[code].meaning}")
    return Exit.OK


def tell(output: Output, wanted: str) -> int:
    """Print the page of one id, or of one name."""
    from guard.dsl.explanations import EXPLANATIONS, page_of
    from guard.dsl.problems import NAMES, did_you_mean

    by_name = {name: code for code, name in NAMES.items()}
    code = by_name.get(wanted.lower(), wanted.upper())
    if code not in NAMES:
        hint = did_you_mean(code, NAMES) if code[:1] in "EW" and code[1:].isdigit() else did_you_mean(wanted, by_name)
        return fail(output, Exit.USAGE, f"there is no problem {wanted!r}; {hint or '`guard rules error` lists all of them'}")
    explanation, page = EXPLANATIONS[code], page_of(code)
    if output.is_json:
        facts = {"id": code, "name": NAMES[code], "severity": explanation.severity_of(code)}
        output.document({**facts, "meaning": explanation.meaning, "why": explanation.why, "page": page})
        return Exit.OK
    output.text(_plain(page) if page else f"{code} {NAMES[code]}\n\n{explanation.meaning}\n{explanation.why}")
    return Exit.OK


def _plain(page: str) -> str:
    """Return a page without the signs of Markdown: code is indented, titles stand alone."""
    lines, is_code = [], False
    for line in page.split("\n"):
        if line.startswith("```"):
            is_code = not is_code
        elif is_code:
            lines.append(f"    {line}".rstrip())
        else:
            lines.append(line.lstrip("#").lstrip() if line.startswith("#") else line.replace("**", "").replace("`", ""))
    return "\n".join(lines)
