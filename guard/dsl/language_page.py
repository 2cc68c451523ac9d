"""The reference of the rule language, made from the models, tables and limits that the code itself uses."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from guard.dsl.calls import FUNCTIONS
from guard.dsl.operations import OPERATIONS
from guard.dsl.parser import DEPTH_MAX, precedence
from guard.dsl.program import FACTS
from guard.dsl.reading import BYTES_MAX
from guard.dsl.reading import DEPTH_MAX as YAML_DEPTH_MAX
from guard.dsl.rule_models import ENTRIES_MAX
from guard.dsl.rules import RULES_MAX
from guard.dsl.schema import pack_schema
from guard.dsl.tables import DETECTORS
from guard.dsl.tokens import TOKENS_MAX, UNITS, written_quantity
from guard.features.tables import WINDOW_BOUNDS_US, WINDOWS_MAX, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["language_page"]

_HEAD: Final = """# The rule language

Made by `guard rules language` from the code itself; a test holds the page to it. [Write rules](rules.md) explains it in order,
[features](features.md) lists what can be measured.

"""
_SECTIONS: Final = (
    ("Pack", "A pack", ""),
    ("RuleSpec", "A rule", "Under `rules:`, by its id."),
    ("ScopeSpec", "scope", ""),
    ("Use", "use", "By the name that expressions give it: `pump: {detector: pump_dump}` makes `pump.score`."),
    ("FactorSpec", "risk", "By the factor's name."),
    ("Levels", "levels", ""),
    ("Clear", "clear", ""),
    ("Step", "actions", "Lists, by level. `alert` and `quarantine` may stand as bare words."),
    ("QuarantineAction", "quarantine", ""),
    ("Escalate", "escalate", ""),
    ("Release", "release", ""),
    ("WebhookAction", "webhook", "`webhook: NAME` is short for it; see [actions](actions.md)."),
    ("CallAction", "call", "See [actions](actions.md)."),
)
_UNIT_WORDS: Final = {Unit.NONE: "a number", Unit.RATIO: "a ratio", Unit.DURATION: "a duration"}
_MEANING: Final = {
    "- (sign)": "turned round",
    "*": "product, quotient; division by 0 is unknown",
    "+": "sum, difference; of one unit only",
    "!=": "comparisons, `1% < ret(60s) < 4%` too; membership, `in` and `not in`",
    "not": "turned round",
    "and": "both",
    "or": "one of both",
}
_TRUTHS: Final = (True, False, None)


def language_page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD, *_keys(), *_expressions(), *_unknown(), *_detectors(), *_limits()]
    return "".join(parts).rstrip("\n") + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines) + "\n"


def _keys() -> Iterator[str]:
    schema = pack_schema()
    yield "## Keys\n\n"
    for name, title, note in _SECTIONS:
        body = schema if name == "Pack" else schema["$defs"][name]
        part = next(part for part in (body, *body.get("anyOf", ())) if "properties" in part)
        yield f"### {title}\n\n{part['description']}{' ' + note if note else ''}\n\n"
        needed = part.get("required", ())
        rows = (
            (f"`{key}`", found["description"], _default(found, is_needed=key in needed), _example(found))
            for key, found in part["properties"].items()
        )
        yield _table(("key", "meaning", "default", "example"), rows)


def _default(found: dict[str, Any], *, is_needed: bool) -> str:
    if is_needed:
        return "needed"
    default = found.get("default")
    return "none" if default in (None, "", [], {}) else f"`{_yaml(default)}`"


def _example(found: dict[str, Any]) -> str:
    return f"`{_yaml(found['examples'][0])}`"


def _yaml(value: Any) -> str:  # noqa: ANN401 - anything that stands in a file
    """Return a value in YAML's flow style, texts in quotes only where they need them."""
    match value:
        case dict():
            kept = {key: each for key, each in value.items() if each not in (None, [], {})}
            # An action without keys is written as its bare word.
            if kept == {"alert": True}:
                return "alert"
            return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in kept.items()) + "}"
        case list():
            return f"[{', '.join(map(_yaml, value))}]"
        case str() if value and not set(value) & set(" ,:[]{}*!&%#'\"<>=") and value[0].isalnum():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _expressions() -> Iterator[str]:
    yield "## Expressions\n\nNumbers carry their unit; two numbers of different units are neither compared nor added.\n\n"
    units = (
        (f"`3{suffix}`", _UNIT_WORDS[unit], f"{3 * times / over:g}" + (" us" if unit is Unit.DURATION else ""))
        for suffix, (unit, times, over) in UNITS.items()
    )
    yield _table(("written", "is", "inside"), units)
    yield "Texts stand in quotes: `'BTC/USDT'`. `$majors` is a list of the pack, `['A/USDT', 'B/USDT']` one on the spot.\n\n"
    yield "Operators, those that bind tightest first:\n\n"
    yield _table(("operators", "meaning"), ((" ".join(f"`{word}`" for word in row), _MEANING[row[0]]) for row in precedence()))
    yield "Functions:\n\n"
    yield _table(("function", "is"), ((f"`{function.shape}`", function.doc) for function in FUNCTIONS.values()))
    yield "Of the market, fixed while it is open:\n\n"
    yield _table(("name", "is"), ((f"`market.{name}`", doc) for name, doc in FACTS.items()))
    yield (
        "Further names: [features and fields](features.md), the `let` of the rule, the `macros` of its pack, and of each detector\n"
        "that it uses `NAME.score` and its parts. `score`, the rule's own, is known in `clear` and `release` only.\n\n"
    )


def _unknown() -> Iterator[str]:
    yield "## Unknown\n\nWhat cannot be known is neither 0 nor false. Whatever is computed from it is unknown, but for these:\n\n"
    rows = []
    for left in _TRUTHS:
        for right in _TRUTHS:
            both, either = OPERATIONS["and"](left, right), OPERATIONS["or"](left, right)
            rows.append((_word(left), _word(right), _word(both), _word(either)))
    yield _table(("a", "b", "a and b", "a or b"), rows)
    yield (
        "`known(x)` asks, `default(x, 0)` replaces. An unknown `scope.where` counts as in scope; an unknown condition,\n"
        "exception or required factor holds level and timers where they are.\n\n"
    )


def _word(truth: bool | None) -> str:  # noqa: FBT001 - a truth value is the value itself
    return {True: "true", False: "false", None: "unknown"}[truth]


def _detectors() -> Iterator[str]:
    yield (
        "## Detectors\n\nThe ones that come with guard; [your own](detectors/own.md) are used alike.\n"
        "Soft ones warn by themselves and need a factor of another kind to go further.\n\n"
    )
    rows = []
    for point in sorted(entry_points(group=DETECTORS), key=lambda point: point.name):
        if not point.value.startswith("guard."):
            continue
        found = point.load()
        parameters = ", ".join(f"`{name}: {_parameter(field.default)}`" for name, field in found.Parameters.model_fields.items())
        parts = ", ".join(f"`.{name}`" for name in ("score", *found.let))
        kind = f"{'hard' if found.is_hard else 'soft'}, {found.family}"
        rows.append((f"[{found.name}](detectors/{found.name}.md)", found.title, kind, parameters, parts))
    yield _table(("detector", "finds", "kind", "parameters and defaults", "names"), rows)


def _parameter(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def _limits() -> Iterator[str]:
    least, most = (written_quantity(bound, Unit.DURATION) for bound in WINDOW_BOUNDS_US)
    yield "## Limits\n\nThey keep a hostile or broken file from costing time or memory; no rule of ours comes near them.\n\n"
    yield _table(
        ("what", "at most"),
        (
            ("a file", f"{BYTES_MAX // 1024} KiB, {YAML_DEPTH_MAX} levels deep"),
            ("rules", str(RULES_MAX)),
            ("entries of `use`, `let`, `unless`, `risk`", f"{ENTRIES_MAX} each"),
            ("an expression", f"{TOKENS_MAX} words, {DEPTH_MAX} levels deep"),
            ("windows", f"{WINDOWS_MAX} different ones of all rules together, {least} to {most} each"),
        ),
    )
