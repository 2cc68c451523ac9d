"""What a recording of a live run keeps beside its events: rules, orders, settings, and what was held when it began."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.dsl import compile_rules, rules_from_texts
from guard.dsl.problems import Report
from guard.errors import ConfigurationError, Problem
from guard.model import (
    AddAllow,
    AddMaintenance,
    AddQuarantine,
    ApplyList,
    EndMaintenance,
    ExtendQuarantine,
    Market,
    ReleaseQuarantine,
    RemoveAllow,
    Target,
    TargetKind,
    event_key,
)
from guard.pipeline import Settings
from guard.quarantine import AllowEntry, BrakePolicy, list_order_from_json, list_order_to_json
from guard.runtime.checkpoint import Entry
from guard.runtime.rule_texts import rule_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from guard.dsl import Program, RuleSet
    from guard.model import Command

__all__ = ["Course", "CourseWriter", "Warmth"]


_ORDERS: dict[type[Command], str] = {
    AddQuarantine: "add",
    ReleaseQuarantine: "release",
    AddMaintenance: "add maintenance",
    EndMaintenance: "end maintenance",
    ExtendQuarantine: "extend",
    AddAllow: "allow",
    RemoveAllow: "end allow",
}


class CourseWriter:
    """Says what stands beside the events as it is learnt, in parts that JSON can hold and that add up to what `Course` reads.

    Parameters
    ----------
    settings
        What decisions depend on.
    say
        Takes each part.
    """

    def __init__(self, settings: Settings, say: Callable[[Mapping[str, Any]], None]) -> None:
        self._say = say
        self._known: set[str] = set()
        self._orders = 0
        self._kept = 0
        self._facts = 0
        allow = [[str(each.target.kind), each.target.name, sorted(each.rules), each.until_us] for each in settings.allow]
        references, has_peers = dict(settings.references), settings.has_peers
        aliases, pause_us = dict(settings.aliases), settings.brake.pause_us
        told = {"references": references, "has_peers": has_peers, "allow": allow, "aliases": aliases, "pause_us": pause_us}
        say({"version": 1, "settings": told})

    def learn(self, rules: RuleSet) -> None:
        """Keep the text of rules that may come to run; those that ran are found by their hash."""
        if rules.hash not in self._known:
            self._known.add(rules.hash)
            self._say({"rules": {rules.hash: [text for _, text in rule_texts(rules)]}})

    def begin(
        self, rules_hash: str, *, now_us: int, isolation: Mapping[str, Any], windows: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Say which rules run first, when the recording begins, what is held then, and which maintenance is announced."""
        begin = {"now_us": now_us, "isolation": dict(isolation), "windows": list(windows)}
        self._say({"first": rules_hash, "begin": begin, "orders": []})

    def order(self, command: Command) -> int:
        """Keep a person's order and return its number."""
        if isinstance(command, ApplyList):
            return self._say_order({"order": "list", **list_order_to_json(command)})
        kind = _ORDERS[type(command)]
        target = None if command.target is None else [str(command.target.kind), command.target.name]
        return self._say_order({"order": kind, **command._asdict(), "target": target})

    def _say_order(self, order: Mapping[str, Any]) -> int:
        self._say({"orders": [order]})
        self._orders += 1
        return self._orders - 1

    def treat(self, market: Market, tags: frozenset[str], listing_risk: float | None) -> int:
        """Keep what an exchange says of a market from now on, and return its number."""
        self._say({"facts": [[str(market), sorted(tags), listing_risk]]})
        self._facts += 1
        return self._facts - 1

    def warm(self, row: int, entry: Entry, *, layout: int, now_us: int) -> int:
        """Keep what a market was given of an earlier run, and return the number of that."""
        body = b64encode(entry.body).decode()
        kept = {"row": row, "layout": layout, "now_us": now_us, "copied_us": entry.copied_us, "body": body}
        self._say({"kept": {str(self._kept): kept}})
        self._kept += 1
        return self._kept - 1


class Warmth(NamedTuple):
    """What the market of `row` was given of an earlier run, at the local time `now_us`; `layout` is that of the kernel's rows."""

    row: int
    layout: int
    now_us: int
    entry: Entry


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
        if "lacks" in document:
            raise self._problem(f"it cannot be done again from its beginning: {document['lacks']}; leave --as-recorded away")
        try:
            self._texts: dict[int, tuple[str, list[str]]] = {
                event_key(name): (name, list(texts)) for name, texts in document["rules"].items()
            }
            self.first = event_key(document["first"])
            self.now_us = int(document["begin"]["now_us"])
            self.isolation: Mapping[str, Any] = document["begin"]["isolation"]
            self.windows: Sequence[Mapping[str, Any]] = document["begin"].get("windows", ())
            self.orders = [_command(order) for order in document["orders"]]
            # Recordings made before exchanges were listened to have none.
            self.facts = [_treated(*each) for each in document.get("facts", ())]
            self.settings = _settings(document["settings"])
            self._kept = [_warmth(document["kept"][str(number)]) for number in range(len(document.get("kept", ())))]
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

    def treated(self, number: int) -> tuple[Market, frozenset[str], float | None]:
        """Return what an exchange said of a market. Raises ConfigurationError where there is no such number."""
        if not 0 <= number < len(self.facts):
            raise self._problem(f"the recording has no facts {number}; it is damaged")
        return self.facts[number]

    def warmth(self, number: int) -> Warmth:
        """Return what a market was given of an earlier run. Raises ConfigurationError where there is none."""
        if not 0 <= number < len(self._kept):
            raise self._problem(f"the recording has no kept state {number}; it is damaged")
        return self._kept[number]

    def other_layout(self, layout: int) -> ConfigurationError:
        """Return the error that says that kept state cannot be read."""
        return self._problem(f"market state of the run has layout {layout}, which this version of guard does not read")

    def _problem(self, text: str) -> ConfigurationError:
        return ConfigurationError(Problem(str(self._path), 1, 1, "T006", "not-as-recorded", "error", text))


def _command(order: Mapping[str, Any]) -> Command:
    if order["order"] == "list":
        return list_order_from_json(order)
    fields = {name: value for name, value in order.items() if name != "order"}
    target = None if fields["target"] is None else Target(TargetKind(fields["target"][0]), str(fields["target"][1]))
    kind = next((kind for kind, name in _ORDERS.items() if name == order["order"]), ReleaseQuarantine)
    if target is None and kind in (AddQuarantine, AddMaintenance, AddAllow):
        raise ValueError(f"an order to {order['order']} names its target")
    if "rules" in fields:
        fields["rules"] = tuple(map(str, fields["rules"]))
    return kind(**{**fields, "target": target})


def _treated(market: str, tags: list[str], listing_risk: float | None) -> tuple[Market, frozenset[str], float | None]:
    return Market.parse(market), frozenset(map(str, tags)), None if listing_risk is None else float(listing_risk)


def _warmth(kept: Mapping[str, Any]) -> Warmth:
    entry = Entry(int(kept["copied_us"]), b64decode(kept["body"], validate=True))
    return Warmth(int(kept["row"]), int(kept["layout"]), int(kept["now_us"]), entry)


def _settings(kept: Mapping[str, Any]) -> Settings:
    allow = tuple(
        AllowEntry(Target(TargetKind(kind), name), frozenset(rules), until_us) for kind, name, rules, until_us in kept["allow"]
    )
    return Settings(
        references=dict(kept["references"]),
        has_peers=bool(kept["has_peers"]),
        allow=allow,
        aliases=dict(kept.get("aliases", {})),
        brake=BrakePolicy(pause_us=kept["pause_us"]) if "pause_us" in kept else BrakePolicy(),
    )
