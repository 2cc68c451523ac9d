"""Numbers of a rule that may be tried with other values: which there are, and a rule set with another value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.dsl.describe import shown
from guard.dsl.document import Entry, Items, Node, Scalar, Table
from guard.dsl.reading import resolve
from guard.dsl.rules import with_node
from guard.dsl.tables import InstalledDetectors
from guard.dsl.tokens import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guard.detection.detector import Detector
    from guard.dsl.problems import Place, Report
    from guard.dsl.rules import RuleSet, RuleSource

__all__ = ["Key", "Value", "expressions", "keys_of", "with_values"]

_QUARANTINE: Final = (("for",), ("escalate", "factor"), ("escalate", "max"), ("escalate", "forget"), ("release", "for"),
                      ("release", "probation"))  # fmt: skip


class Key(NamedTuple):
    """One number of a rule, by its path: ``levels.danger``.

    `in_use` is its value as written; it `is_whole` where no other number will do.
    """

    path: tuple[str, ...]
    in_use: str
    is_whole: bool = False

    @property
    def name(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)


class Value(NamedTuple):
    """A value for a key, as written, and where that stands."""

    path: tuple[str, ...]
    text: str
    key: Place
    place: Place


def keys_of(rule: RuleSource, detectors: Mapping[str, type[Detector]] | None = None) -> dict[str, Key]:
    """Return the keys of a sound rule that take one number, duration or word, by name, in the order of the reference."""
    assert rule.spec is not None
    keys = shown(rule, resolved=True)
    found = [*_plain_keys(keys)]
    found += _parameters(rule, InstalledDetectors() if detectors is None else detectors)
    found += [Key(("let", name), text) for name, text in keys["let"].items() if _is_literal(text)]
    found += [Key(path, str(_at(step, path[3:]))) for path, step in _quarantine_keys(rule)]
    return {key.name: key for key in found}


def expressions(rule: RuleSource) -> dict[str, str]:
    """Return the keys of a rule that hold an expression, by name, with its text."""
    assert rule.spec is not None
    keys = shown(rule, resolved=True)
    found: dict[str, str | None] = {
        "when": keys["when"],
        "clear.when": keys["clear"]["when"],
        "scope.where": keys["scope"]["where"],
    }
    found |= {f"let.{name}": text for name, text in keys["let"].items() if not _is_literal(text)}
    found |= {f"unless.{name}": text for name, text in keys["unless"].items()}
    found |= {f"risk.{name}.value": factor["value"] for name, factor in keys["risk"].items()}
    return {name: text for name, text in found.items() if text is not None}


def with_values(rules: RuleSet, rule_id: str, values: Sequence[Value], report: Report) -> RuleSet:
    """Return the set with other values in one rule, as an override would set them; mistakes go to the report."""
    (rule,) = (rule for rule in rules.rules if rule.id == rule_id)
    node: Node = rule.node
    for value in values:
        node = _set(node, value.path, value)
    assert isinstance(node, Table)
    return with_node(rules, rule_id, node, report)


def _plain_keys(keys: Mapping[str, Any]) -> Iterator[Key]:
    yield Key(("mode",), str(keys["mode"]))
    if keys["risk"]:
        for name, level in keys["levels"].items():
            yield Key(("levels", name), f"{level:g}")
    else:
        yield Key(("level",), str(keys["level"]))
    yield Key(("for",), keys["for"])
    yield Key(("clear", "for"), keys["clear"]["for"])
    for name, factor in keys["risk"].items():
        yield Key(("risk", name, "weight"), f"{factor['weight']:g}")


def _parameters(rule: RuleSource, detectors: Mapping[str, type[Detector]]) -> Iterator[Key]:
    assert rule.spec is not None
    for alias, use in rule.spec.use.items():
        for name, field in detectors[use.detector].Parameters.model_fields.items():
            found = use.params.get(name, field.default)
            if isinstance(found, bool):
                found = str(found).lower()
            if isinstance(found, int | float | str):
                text = f"{found:.12g}" if isinstance(found, float) else str(found)
                yield Key(("use", alias, "params", name), text, is_whole=field.annotation is int)


def _quarantine_keys(rule: RuleSource) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    assert rule.spec is not None
    for level, steps in rule.spec.actions.items():
        for step in steps:
            if step.quarantine is not None and level in _table(rule.node, "actions"):
                document = step.quarantine.model_dump(mode="json", by_alias=True)
                for path in _QUARANTINE:
                    yield ("actions", str(level), "quarantine", *path), document


def _table(node: Node, key: str) -> dict[str, Entry]:
    entry = node.entries.get(key) if isinstance(node, Table) else None
    return entry.node.entries if entry is not None and isinstance(entry.node, Table) else {}


def _at(document: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - any part of a rule
    for key in path:
        document = document[key]
    return f"{document:g}" if isinstance(document, float) else document


def _is_literal(text: str) -> bool:
    return quantity(text) is not None or text in ("true", "false")


def _set(node: Node | None, path: Sequence[str], value: Value) -> Node:
    """Return a tree with a value at a path; what is missing on the way is made, a list is entered at the step that has the key."""
    if not path:
        return Scalar(resolve(value.text), value.text, value.place)
    key, rest = path[0], path[1:]
    if isinstance(node, Items):
        return Items(tuple(_set_in_step(item, path, value) for item in node.items), node.place)
    entries = dict(node.entries) if isinstance(node, Table) else {}
    before = entries.get(key)
    entries[key] = Entry(value.key, _set(None if before is None else before.node, rest, value))
    return Table(entries, node.place if isinstance(node, Table) else value.key)


def _set_in_step(item: Node, path: Sequence[str], value: Value) -> Node:
    if isinstance(item, Scalar) and item.text == path[0]:
        return _set(None, path, value)
    return _set(item, path, value) if isinstance(item, Table) and path[0] in item.entries else item
