"""What a recording of a live run keeps beside its events: rules, orders, settings, and what was held when it began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.dsl import compile_rules, rules_from_texts
from guard.dsl.problems import Report
from guard.errors import ConfigurationError, Problem
from guard.model import AddMaintenance, AddQuarantine, EndMaintenance, ReleaseQuarantine, Target, TargetKind, event_key
from guard.pipeline import Settings
from guard.quarantine import AllowEntry
from guard.runtime.rule_texts import rule_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guard.dsl import Program, RuleSet
    from guard.model import Command

__all__ = ["Course", "CourseWriter"]


_ORDERS: dict[type[AddQuarantine | ReleaseQuarantine | AddMaintenance | EndMaintenance], str] = {
    AddQuarantine: "add",
    ReleaseQuarantine: "release",
    AddMaintenance: "add maintenance",
    EndMaintenance: "end maintenance",
}


class CourseWriter:
    """Collects what stands beside the events, as JSON can hold it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sets: dict[str, list[str]] = {}
        self._first = ""
        self._begin: dict[str, Any] = {}
        self._orders: list[dict[str, Any]] = []

    def learn(self, rules: RuleSet) -> None:
        """Keep the text of rules that may come to run."""
        self._sets.setdefault(rules.hash, [text for _, text in rule_texts(rules)])

    def begin(
        self, rules_hash: str, *, now_us: int, isolation: Mapping[str, Any], windows: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Say which rules run first, when the recording begins, what is held then, and which maintenance is announced."""
        self._first = rules_hash
        self._begin = {"now_us": now_us, "isolation": dict(isolation), "windows": list(windows)}

    def order(self, command: Command) -> int:
        """Keep a person's order and return its number."""
        kind = _ORDERS[type(command)]
        target = None if command.target is None else [str(command.target.kind), command.target.name]
        self._orders.append({"order": kind, **command._asdict(), "target": target})
        return len(self._orders) - 1

    def document(self) -> dict[str, Any]:
        """Return all of it; of the rules those that ran may be found by their hash."""
        return {
            "version": 1,
            "rules": self._sets,
            "first": self._first,
            "begin": self._begin,
            "orders": self._orders,
            "settings": {
                "references": dict(self._settings.references),
                "has_peers": self._settings.has_peers,
                "allow": [
                    [str(entry.target.kind), entry.target.name, sorted(entry.rules), entry.until_us]
                    for entry in self._settings.allow
                ],
            },
        }


class Course:
    """What `CourseWriter` wrote, taken apart.

    Parameters
    ----------
    document, path
        What was read, and of which file; None where that has none.

    Raises
    ------
    ConfigurationError
        Where the file has no rules, or rules that this version reads as others.
    """

    def __init__(self, document: Mapping[str, Any] | None, path: Path) -> None:
        self._path = path
        self._programs: dict[int, Program] = {}
        if document is None:
            raise self._problem(
                "this is no recording of a live run: it holds no rules; leave --as-recorded away, or name one such file"
            )
        if document.get("version") != 1:
            raise self._problem(f"version {document.get('version')!r:.20} of its rules and orders; this guard reads version 1")
        try:
            self._texts: dict[int, tuple[str, list[str]]] = {
                event_key(name): (name, list(texts)) for name, texts in document["rules"].items()
            }
            self.first = event_key(document["first"])
            self.now_us = int(document["begin"]["now_us"])
            self.isolation: Mapping[str, Any] = document["begin"]["isolation"]
            self.windows: Sequence[Mapping[str, Any]] = document["begin"].get("windows", ())
            self.orders = [_command(order) for order in document["orders"]]
            self.settings = _settings(document["settings"])
            self.texts_of(self.first)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise self._problem(f"the recording's rules and orders cannot be read: {error!r}") from error

    def texts_of(self, key: int) -> list[str]:
        """Return the packs of the rules with this key. Raises ConfigurationError where there are none."""
        if key not in self._texts:
            raise self._problem(f"the recording has no rules with the key {key}; it is damaged")
        return self._texts[key][1]

    def program(self, key: int) -> Program:
        """Return the compiled rules with this key. Raises ConfigurationError."""
        if key not in self._programs:
            report = Report()
            rules = rules_from_texts(self.texts_of(key), report, file=f"{self._path} (recorded rules)")
            if report.errors:
                raise ConfigurationError(*report.errors)
            if rules.hash != self._texts[key][0]:
                raise self._problem(
                    "this version of guard reads the recorded rules as others: a replay would not be what was recorded"
                )
            self._programs[key] = compile_rules(rules)
        return self._programs[key]

    def order(self, number: int) -> Command:
        """Return a person's order. Raises ConfigurationError where there is none."""
        if not 0 <= number < len(self.orders):
            raise self._problem(f"the recording has no order {number}; it is damaged")
        return self.orders[number]

    def _problem(self, text: str) -> ConfigurationError:
        return ConfigurationError(Problem(str(self._path), 1, 1, "T006", "not-as-recorded", "error", text))


def _command(order: Mapping[str, Any]) -> Command:
    fields = {name: value for name, value in order.items() if name != "order"}
    target = None if fields["target"] is None else Target(TargetKind(fields["target"][0]), str(fields["target"][1]))
    kind = next((kind for kind, name in _ORDERS.items() if name == order["order"]), ReleaseQuarantine)
    if target is None and kind in (AddQuarantine, AddMaintenance):
        raise ValueError(f"an order to {order['order']} names its target")
    return kind(**{**fields, "target": target})


def _settings(kept: Mapping[str, Any]) -> Settings:
    allow = tuple(
        AllowEntry(Target(TargetKind(kind), name), frozenset(rules), until_us) for kind, name, rules, until_us in kept["allow"]
    )
    return Settings(references=dict(kept["references"]), has_peers=bool(kept["has_peers"]), allow=allow)
