"""The shipped alert rules against the metrics: each fires in its trouble, and none while guard is well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from api.http_bench import STATUS

from guard.api.metrics import page

RULES: Final = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((Path(__file__).parents[2] / "docs/examples/monitoring/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
}
FEED: Final = {
    "exchange": "sim", "streaming": True, "markets": {"watched": 3}, "age_ms": 400, "received": 9, "rejected": {}, "reconnects": 0,
    "gaps": 0, "gap_seconds": 0.0, "bad_frames": 0, "failures": 0, "rest": None, "alive": {},
}  # fmt: skip
TOTALS: Final = dict.fromkeys(("seen", "exits", "blocked", "cut", "bypassed", "would_block", "ignored"), 0)
BOT: Final = {"name": "mine", "kind": "x", "silent": False, "parted": False, "totals": TOTALS}
WELL: Final[dict[str, Any]] = {
    **STATUS,
    "channels": {"people": {"failing": False}},
    "outbox": {"people": {"pending": 2, "delivered": 9, "dead": 1}},
    "feeds": [FEED],
    "bots": {"bots": [BOT]},
}
Samples = dict[str, list[tuple[dict[str, str], float]]]


def samples(document: dict[str, Any] | None) -> Samples:
    """Return what Prometheus has after a scrape; nothing answers where the document is None."""
    found: Samples = {"up": [({"job": "guard"}, float(document is not None))]}
    for line in [] if document is None else page(document, {}).decode().splitlines():
        match = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line)
        if match and not line.startswith("#"):
            labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', match[2] or ""))
            found.setdefault(match[1], []).append((labels, float(match[3])))
    return found


def fires(expression: str, before: Samples, now: Samples) -> bool:
    """Tell whether an expression of these rules has an answer: comparisons of a metric, joined by ``or``."""
    return any(_holds(part, before, now) for part in expression.split(" or "))


def _holds(part: str, before: Samples, now: Samples) -> bool:
    if absent := re.fullmatch(r"absent\((\w+)\)", part):
        return not now.get(absent[1])
    match = re.fullmatch(r"(delta\()?(\w+)(?:\{(\w+)=\"(\w+)\"\})?(?:\[1h\]\))? (==|>) (\d+)", part)
    assert match is not None, part
    delta, name, label, value, how, bound = match.groups()
    for labels, number in now.get(name, []):
        if label and labels.get(label) != value:
            continue
        earlier = next((each for was, each in before.get(name, []) if was == labels), 0.0) if delta else 0.0
        if number - earlier == float(bound) if how == "==" else number - earlier > float(bound):
            return True
    return False


TROUBLES: Final[list[tuple[str, dict[str, Any] | None]]] = [
    ("GuardDown", None),
    ("GuardNotReady", {"http": {**STATUS["http"], "unready": ["feeds"]}}),  # type: ignore[dict-item] - a status document
    ("GuardFeedStale", {"feeds": [FEED, {**FEED, "exchange": "dead", "streaming": False, "age_ms": None}]}),
    ("GuardFeedStale", {"feeds": [{**FEED, "age_ms": 61_000}]}),
    ("GuardLedgerNotDurable", {"durable": False}),
    ("GuardAlertsUndelivered", {"channels": {"people": {"failing": True}}}),
    ("GuardAlertsUndelivered", {"outbox": {"people": {"pending": 2, "delivered": 9, "dead": 2}}}),
    ("GuardBotSilent", {"bots": {"bots": [BOT], "silent": ["gone"]}}),
]


def test_six_rules_are_shipped_and_each_has_its_trouble_here() -> None:
    assert len(RULES) == 6
    assert {name for name, _ in TROUBLES} == set(RULES)


def test_none_fires_while_guard_is_well() -> None:
    now = samples(WELL)
    assert [name for name, expression in RULES.items() if fires(expression, now, now)] == []


@pytest.mark.parametrize(("name", "trouble"), TROUBLES)
def test_a_rule_fires_in_its_trouble_and_no_other_does(name: str, trouble: dict[str, Any] | None) -> None:
    before, now = samples(WELL), samples(None if trouble is None else {**WELL, **trouble})
    assert [each for each, expression in RULES.items() if fires(expression, before, now)] == [name]
