"""Random rules over random streams: what is explained is what was decided, every unknown part has its reason, nothing changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from engine.streams import batches
from engine.test_random_rules import Choices, fresh

from guard.runtime.explaining import explained
from guard.runtime.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.pipeline import Pipeline


def nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node["children"]:
        yield from nodes(child)


def check(pipeline: Pipeline, row: int) -> int:
    found = explained(pipeline, row)
    json.dumps(found, allow_nan=False)
    watched, unknown = pipeline.engine.watched[row], 0
    if not watched.outcomes:
        return 0
    for told, outcome, episode in zip(found["rules"], watched.outcomes, watched.episodes, strict=True):
        trees = {tree["text"]: tree for tree in told["tree"]}
        assert trees["when"]["value"] is told["fires"] is outcome.fires
        assert trees["clear.when"]["value"] is outcome.clears is told["clear"]["holds"]
        assert trees["actions.danger.release.when"]["value"] is outcome.releases is told["release"]["holds"]
        assert told["level"] == str(episode.level)
        if "group" not in told:
            assert bool(told["missing"]) is (told["level"] == "normal")
        assert bool(told["clear"]["missing"]) is (outcome.clears is not True)
        assert 0.0 <= told["clear"]["held_s"] <= told["clear"]["needs_s"] or told["level"] == "normal" or not outcome.clears
        for tree in told["tree"]:
            for node in nodes(tree):
                is_innermost = node["value"] is None and all(child["value"] is not None for child in node["children"])
                assert bool(node.get("why")) is is_innermost, node
                unknown += is_innermost
    return unknown


@pytest.mark.parametrize("seed", range(8))
def test_what_is_explained_is_what_was_decided_and_explaining_changes_nothing(seed: int) -> None:
    choices = Choices(seed)
    program, rows = choices.program(), choices.rows(250)
    asked, silent = fresh(program, jit=False), fresh(program, jit=False)
    at = unknown = 0
    while at < len(rows):
        part = rows[at : at + choices.of([1, 5, 40])]
        at += len(part)
        for batch in batches(part, len(part)):
            assert list(lines_of(asked.process(batch))) == list(lines_of(silent.process(batch)))
        for row in range(len(asked.engine.watched)):
            unknown += check(asked, row)
    assert list(lines_of(asked.advance(asked.now_us + 60_000_000))) == list(lines_of(silent.advance(silent.now_us + 60_000_000)))
    assert asked.save() == silent.save()
    assert unknown
