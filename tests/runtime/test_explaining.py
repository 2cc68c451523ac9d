"""Explanations at moments of real tapes: what they show is what the engine decided."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import Program, compile_rules, load_rules, rules_from_text, shipped_packs
from guard.dsl.problems import Report
from guard.errors import OperationRefused
from guard.model import Batch
from guard.pipeline import Pipeline
from guard.runtime.explaining import At, explained, explained_on_tape
from guard.runtime.replay import opened_tape
from guard.runtime.settings import tape_settings

DATA = Path(__file__).parents[2] / "../shared/data/pump_trades"
TAPE = DATA / "AST_2018-09-07_15.30.csv.gz"
pytestmark = pytest.mark.skipif(not TAPE.is_file(), reason="the recorded pumps are not here")
OWN = """
rules:
  many_clauses:
    mode: alert
    let: {fast: "abs(ret(60s))"}
    when: not (trades(60s) < 3) and (fast > 0.5% or rush(10s) >= 4) and market.symbol != 'X/Y'
    unless: {calm: "fast < 0.1%", untold: market_age() < 3d}
    risk:
      price_volatility: {weight: 0.7, value: "ramp(fast, 0.1%, 2%)"}
      volume_anomaly: {weight: 0.2, value: "ramp(vol_z(60s), 0, 3)"}
      trade_pattern: {weight: 0.4, value: buy_share(60s), optional: true}
      order_book: {weight: 5, value: "ramp(spread_z(), 2, 8)", optional: true}
    for: 1s
    clear: {when: score < 0.3 or not known(score), for: 20s}
  fixed:
    level: danger
    mode: enforce
    when: trades(10s) > 5
    actions: {danger: [alert, {quarantine: {for: 5m, release: {when: trades(60s) < 3, for: 1m}}}]}
  elsewhere: {level: warning, when: trades(10s) > 5, scope: {symbol: "*/USDT", quote: [USDT]}}
"""
PUMP_US = 1_536_334_200_000_000
COLUMNS = ("kind", "market", "at_us", "received_us", "price", "amount", "side", "key", "flags")


@pytest.fixture(scope="module")
def own() -> Program:
    report = Report()
    rules = rules_from_text(OWN, report)
    assert not report.errors, report.errors
    return compile_rules(rules)


@pytest.fixture(scope="module")
def ours() -> Program:
    return compile_rules(load_rules(shipped_packs()))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the hours around the pump as a tape of their own."""
    path = tmp_path_factory.mktemp("tape") / "short.csv"
    with gzip.open(TAPE, "rt") as rows, path.open("w") as out:
        out.write(next(rows))
        out.writelines(row for row in rows if -4 * 3600_000 <= int(row.split(",")[1]) - PUMP_US // 1000 <= 1_600_000)
    return path


def stopped(program: Program, path: Path, at_us: int, batch_rows: int) -> Pipeline:
    """Return a pipeline that lived through the tape up to a moment, as live: in other batches, then row by row, then time."""
    tape = opened_tape([path], exchange="tape")
    pipeline = Pipeline(program, tape_settings(tape))
    for opened, batch in tape.batches(batch_rows):
        for facts in opened:
            pipeline.open(facts)
        if batch.received_us[-1] <= at_us:
            pipeline.process(batch.plain())
            continue
        columns = {name: getattr(batch.plain(), name) for name in COLUMNS}
        for row in range(len(batch)):
            if columns["received_us"][row] > at_us:
                pipeline.advance(at_us)
                return pipeline
            pipeline.process(Batch.over(**{name: column[row : row + 1] for name, column in columns.items()}))
    raise AssertionError("the tape ended before")


def truth(told: dict[str, Any]) -> bool | None:
    """Put together what a rule's trees say, as the reference says: an unknown scope.where holds, all else by Kleene."""
    trees = {node["text"]: node["value"] for node in told["tree"]}
    where = trees.get("scope.where", True)
    parts = [where is not False, trees["when"]]
    parts += [None if value is None else not value for label, value in trees.items() if label.startswith("unless.")]
    if False in parts:
        return False
    return None if None in parts else True


MOMENTS = [PUMP_US + seconds * 1_000_000 for seconds in (-3600, -5, 3, 40, 300, 1200)]


@pytest.mark.parametrize("which", ["own", "ours"])
def test_the_tree_is_what_was_decided_and_contributions_add_up_to_the_score(
    which: str, short: Path, request: pytest.FixtureRequest
) -> None:
    program: Program = request.getfixturevalue(which)
    tape = opened_tape([short], exchange="tape")
    pipeline = Pipeline(program, tape_settings(tape))
    moments, looked, fired = [*MOMENTS], 0, 0
    for opened, batch in tape.batches(64):
        for facts in opened:
            pipeline.open(facts)
        pipeline.process(batch.plain())
        if not moments or batch.received_us[-1] < moments[0]:
            continue
        moments.pop(0)
        found = explained(pipeline, 0)
        json.dumps(found, allow_nan=False)
        for told, outcome in zip(found["rules"], pipeline.engine.watched[0].outcomes, strict=True):
            looked += 1
            fired += outcome.fires is True
            assert truth(told) is outcome.fires, told["rule"]
            if told["factors"] and told["score"] is not None:
                assert sum(part["share"] for part in told["factors"]) == pytest.approx(told["score"], abs=1e-12)
                assert [part["value"] for part in told["factors"]] == list(outcome.factors)
            for used, score in zip(told["detectors"], outcome.detectors, strict=True):
                assert used["score"] == score
            assert (told["missing"] == []) or told["level"] == "normal"
            if told["level"] == "normal" and not outcome.fires:
                assert told["missing"], told["rule"]
    assert looked >= 6
    assert fired or which == "ours"


@given(after_us=st.integers(-600_000_000, 1_500_000_000), rows=st.sampled_from([7, 100, 4096]))
@settings(max_examples=12, deadline=None)
def test_a_replayed_moment_equals_a_pipeline_that_stopped_there(own: Program, short: Path, after_us: int, rows: int) -> None:
    at_us = PUMP_US + after_us
    live = explained(stopped(own, short, at_us, rows), 0)
    for rule in ("many_clauses", "fixed"):
        found = explained_on_tape(
            opened_tape([short], exchange="tape"), own, rule=rule, market="tape:AST/BTC", at=At(at_us, is_since_start=False)
        )
        (told,) = found["rules"]
        assert told == next(each for each in live["rules"] if each["rule"] == rule)
        assert (found["state"], found["data"], found["quarantines"]) == (live["state"], live["data"], live["quarantines"])


def test_without_a_moment_it_is_the_one_of_the_highest_score(ours: Program, short: Path) -> None:
    found = explained_on_tape(opened_tape([short], exchange="tape"), ours, rule="pump_dump", market="AST/BTC")
    (told,) = found["rules"]
    assert found["at"].startswith("2018-09-07T15:30")
    assert (told["level"], found["state"], found["tape"]["which"]) == ("danger", "quarantined", "its highest score")
    assert told["score"] > 0.9
    (held,) = found["quarantines"]
    assert held["release"] == f'guard quarantine release {held["id"]} --reason "..."'
    assert (held["calm"]["holds"], held["calm"]["held_s"], held["calm"]["needs_s"]) == (False, 0.0, 600.0)
    assert any(line.startswith("score < 0.3 (score is ") for line in held["calm"]["missing"])


@pytest.mark.parametrize(
    ("rule", "market", "at", "told"),
    [
        ("pumpdump", "AST/BTC", None, "there is no rule 'pumpdump'; did you mean pump_dump"),
        (
            "pump_dump",
            "tape:ASTT/BTC",
            At(10**6, is_since_start=True),
            "tape:ASTT/BTC is not on the tape; did you mean tape:AST",
        ),
        (
            "pump_dump",
            "AST/BTC",
            At(10**15, is_since_start=False),
            "2001-09-09T01:46:40.000Z is not on the tape: it goes",
        ),
        ("pump_dump", "AST/BTC", At(40 * 86_400 * 10**6, is_since_start=True), "is not on the tape: it goes from 2018-09-07"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(  # noqa: PLR0917 - what the table gives
    ours: Program, short: Path, rule: str, market: str, at: At | None, told: str
) -> None:
    with pytest.raises(OperationRefused, match=told):
        explained_on_tape(opened_tape([short], exchange="tape"), ours, rule=rule, market=market, at=at)


@pytest.mark.parametrize(
    ("rule", "which"),
    [
        ("many_clauses", "its highest score"),
        ("fixed", "it fires for the first time"),
        ("elsewhere", "the end of the tape: it never fires"),
    ],
)
def test_the_moment_is_chosen_by_what_the_rule_has(own: Program, short: Path, rule: str, which: str) -> None:
    found = explained_on_tape(opened_tape([short], exchange="tape"), own, rule=rule, market="AST/BTC")
    assert found["tape"]["which"] == which
    if rule == "fixed":
        (told,) = found["rules"]
        assert (told["fires"], told["level"], told["actions"]) == (
            True, "danger", {"danger": ["alert", "quarantine the market for 5 m, no entries"]},
        )  # fmt: skip
        assert told["clear"]["missing"] == ["it still fires"]
    if rule == "many_clauses":
        best = found["rules"][0]["score"]
        for after_us in range(0, 600_000_000, 60_000_000):
            at = At(PUMP_US + after_us, is_since_start=False)
            other = explained_on_tape(opened_tape([short], exchange="tape"), own, rule=rule, market="AST/BTC", at=at)
            assert (other["rules"][0]["score"] or 0.0) <= best


def test_a_rule_out_of_scope_names_the_key(own: Program, short: Path) -> None:
    at = At(3_600_000_000, is_since_start=True)
    found = explained_on_tape(opened_tape([short], exchange="tape"), own, rule="elsewhere", market="AST/BTC", at=at)
    assert found["rules"] == []
    assert found["outside"][0]["by"] == ["symbol: found AST/BTC, allowed */USDT", "quote: found BTC, allowed USDT"]


def test_unknown_parts_say_what_is_missing_and_for_how_long(own: Program, short: Path) -> None:
    at = At(20_000_000, is_since_start=True)
    found = explained_on_tape(opened_tape([short], exchange="tape"), own, rule="many_clauses", market="AST/BTC", at=at)
    text = json.dumps(found)
    assert "only 20 s of 60 s covered: ready in 40 s" in text.replace("1 m", "60 s")
    assert "absent: there is no stream of the book" in text
    assert "its baseline has seen 0 of 30 minutes with trades" in text
    assert "nobody told when the market was listed" in text
