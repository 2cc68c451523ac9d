"""Plain and compiled: one source, the same decisions, the same state to the last byte."""

from __future__ import annotations

import json
import math
import struct
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from engine.streams import batches, fresh, in_python, shipped, stream

from guard.dsl import compile_rules, load_rules, rules_from_text, shipped_packs
from guard.dsl.problems import Report
from guard.features.fields import FIELDS_BY_NAME
from guard.model import AddQuarantine, Batch, Target, TargetKind
from guard.runtime.clock import seeded_random
from guard.runtime.lines import alert_line, lines_of
from guard_sim import tape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from guard.dsl import Program
    from guard.model import Decision
    from guard.pipeline import Pipeline
    from guard_sim.tape import Row

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed: there is no compiled form to compare")

SEEDS = (1, 2, 3)
SIZES = (1, 7, 1024)
MINUTE_US = 60_000_000
# One rule of ours is gone, one is new; the others stay as they are.
OTHERS = """
rules:
  busy:
    mode: enforce
    when: trades(30s) >= 40
    level: danger
    for: 2s
    clear: {when: trades(30s) < 10, for: 5s}
    actions: {danger: [quarantine]}
"""


# Fields of flow, bars, digits and data quality, which few packs read.
RARE = (
    "path", "swept", "mirrored", "flow_return", "flow_squares", "bar_impact", "bars", "bar_ranges", "slippage", "coverage",
    "market_age", "lag", "events", "late", "corr", "flow_imbalance", "book_messages", "added", "prints_regularity",
    "prints_benford", "prints_round", "prints_hill",
)  # fmt: skip


class Told:
    """All that a pipeline decided, and the bytes of its state."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.lines: list[str] = []
        self.alerts: list[str] = []

    def take(self, decision: Decision) -> None:
        # Apart, because how many lines come before an alert depends on how events are cut into decisions.
        self.lines += [json.dumps(record, sort_keys=True) for record in lines_of(decision)]
        self.alerts += [json.dumps(alert_line(delivery), sort_keys=True) for delivery in decision.deliveries]

    def feed(self, rows: Sequence[Row], size: int) -> Told:
        for batch in batches(rows, size):
            self.take(self.pipeline.process(batch))
        return self

    def wait(self, minutes: int) -> Told:
        self.take(self.pipeline.advance(self.pipeline.now_us + minutes * MINUTE_US))
        return self

    @property
    def all(self) -> tuple[list[str], list[str], str]:
        return self.lines, self.alerts, json.dumps(self.pipeline.save())


def test_what_rules_do_not_say_anew_changes_nothing() -> None:
    def asked(seed: int) -> tuple[list[str], list[str], str]:
        told = Told(fresh(jit=False))
        kernel = told.pipeline.engine.kernel
        for row in range(len(kernel)):
            kernel.bind(row, 0, None, looks=told.pipeline.engine.watched[row].looks_at_age)
        told.feed(stream(seed), 1024).wait(10)
        return told.all

    for seed in SEEDS:
        assert asked(seed) == whole(seed)


@cache
def whole(seed: int) -> tuple[list[str], list[str], str]:
    """Return what the plain form makes of a stream in one piece."""
    with in_python():
        told = Told(fresh(jit=False)).feed(stream(seed), 1024).wait(10)
    assert any('"quarantine"' in line for line in told.lines)
    return told.all


def with_machine_code(pipeline: Pipeline) -> Pipeline:
    """Give a compiled pipeline machine code for its rules."""
    screens = pipeline.native_screens()
    assert screens is not None
    pipeline.take_native_screens(screens())
    assert pipeline.native_screens() is None
    return pipeline


@pytest.mark.parametrize("native", [False, True], ids=["", "machine code"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
def test_the_decisions_and_the_state_are_those_of_the_plain_form(seed: int, size: int, *, native: bool) -> None:
    pipeline = fresh(jit=True)
    if native:
        with_machine_code(pipeline)
    assert Told(pipeline).feed(stream(seed), size).wait(10).all == whole(seed)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_machine_code_that_comes_late_decides_the_same(share: float) -> None:
    rows = stream(1)
    cut = int(len(rows) * share)
    told = Told(fresh(jit=True)).feed(rows[:cut], 1024)
    with_machine_code(told.pipeline)
    assert told.feed(rows[cut:], 1024).wait(10).all == whole(1)


def test_batches_used_again_and_columns_of_others_cut_anywhere_decide_the_same() -> None:
    rows, told, random = stream(1), Told(fresh(jit=True)), seeded_random(5)
    used = [Batch(1), Batch(40), Batch(600)]
    at = 0
    while at < len(rows):
        own = used[int(3 * random.random())]
        part = rows[at : at + 1 + int(own.capacity * random.random())]
        at += len(part)
        own.clear()
        for row in part:
            columns = row._asdict()
            own.append(columns.pop("kind"), columns.pop("market"), **columns)
        over = Batch.over(**{name: np.asarray(getattr(own, name))[: len(own)] for name in tape.Row._fields})
        told.take(told.pipeline.process(over if random.random() < 0.3 else own))
    assert told.wait(10).all == whole(1)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("jit", [False, True], ids=["plain to compiled", "compiled to plain"])
def test_a_state_of_one_form_goes_on_in_the_other(*, share: float, jit: bool) -> None:
    rows = stream(1)
    cut = int(len(rows) * share)
    first = Told(fresh(jit=jit)).feed(rows[:cut], 1024)
    second = Told(fresh(jit=not jit))
    second.pipeline.restore(json.loads(json.dumps(first.pipeline.save())))
    second.lines, second.alerts = first.lines, first.alerts
    assert second.feed(rows[cut:], 1024).wait(10).all == whole(1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.97])
def test_a_running_pipeline_goes_over_and_decides_the_same(share: float) -> None:
    rows = stream(1)
    cut = int(len(rows) * share)
    told = Told(fresh(jit=False)).feed(rows[:cut], 7)
    evaluations, before = told.pipeline.engine.evaluations, json.dumps(told.pipeline.save())
    told.pipeline.accelerate()
    assert told.pipeline.engine.kernel.is_jitted
    assert (told.pipeline.engine.evaluations, json.dumps(told.pipeline.save())) == (evaluations, before)
    told.pipeline.accelerate()
    assert told.feed(rows[cut:], 7).wait(10).all == whole(1)


def test_a_pipeline_goes_over_while_a_quarantine_waits_for_calm() -> None:
    def told(*, is_accelerated: bool) -> tuple[list[str], list[str], str]:
        at_work = Told(fresh(jit=False)).feed(stream(1), 1024)
        if is_accelerated:
            at_work.pipeline.accelerate()
        return at_work.wait(30).wait(60).all

    assert told(is_accelerated=True) == told(is_accelerated=False)


def other_rules(folder: Path) -> Program:
    """Return rules of which most are ours, one of ours is gone, and one is new."""
    added = folder / "others.yaml"
    added.write_text(OTHERS)
    return compile_rules(load_rules([added, *(pack for pack in shipped_packs() if "spoofing" not in str(pack))]))


@pytest.mark.parametrize("accelerates", [False, True], ids=["", "and go over"])
@pytest.mark.parametrize("seed", SEEDS)
def test_other_rules_mid_stream_decide_the_same(tmp_path: Path, *, seed: int, accelerates: bool) -> None:
    others = other_rules(tmp_path)
    rows = stream(seed)
    third = len(rows) // 3

    def told(*, jit: bool) -> tuple[list[str], list[str], str]:
        at_work = Told(fresh(jit=jit)).feed(rows[:third], 1024)
        if jit:
            with_machine_code(at_work.pipeline)
        at_work.take(at_work.pipeline.load(others, at_work.pipeline.now_us))
        if accelerates and not jit:
            at_work.pipeline.accelerate()
        if accelerates:
            with_machine_code(at_work.pipeline)
        at_work.feed(rows[third : 2 * third], 7)
        at_work.take(at_work.pipeline.load(shipped(), at_work.pipeline.now_us))
        return at_work.feed(rows[2 * third :], 1024).wait(10).all

    assert told(jit=True) == told(jit=False)


USUALS = """
rules:
  usuals:
    mode: alert
    when: >-
      vacuum(20bp, side=bid) < 0.9 or depth_ratio(1%, side=ask) < 0.5 or churn_surge(1s) > 1 or trades(1s) < low_trades(1s)
      or trades(1s) > 3 * median_trades(1s) or abs(trend_gap(60s)) > 40bp or abs(trend_gap(1h)) > 1% or vol_z_hour(10s) > 4
    level: warning
    clear: {when: score < 0.5, for: 500ms}
    actions: {warning: [alert]}
"""


def usuals(folder: Path) -> Program:
    """Return a rule on what is usual of a market: depth, trades, churn, averages of several times."""
    written = folder / "usuals.yaml"
    written.write_text(USUALS)
    return compile_rules(load_rules([written]))


def test_what_is_usual_of_a_market_is_the_same(tmp_path: Path) -> None:
    program, rows = usuals(tmp_path), stream(1)
    half = len(rows) // 2

    def told(*, first: bool, second: bool) -> tuple[list[str], list[str], str]:
        before = Told(fresh(jit=first, program=program)).feed(rows[:half], 1024)
        after = Told(fresh(jit=second, program=program))
        after.pipeline.restore(json.loads(json.dumps(before.pipeline.save())))
        after.lines, after.alerts = before.lines, before.alerts
        return after.feed(rows[half:], 1024).wait(10).all

    unbroken = Told(fresh(jit=False, program=program)).feed(rows, 7).wait(10).all
    assert len(unbroken[0]) > 10
    for first in (False, True):
        for second in (False, True):
            assert told(first=first, second=second) == unbroken, (first, second)


DEPTHS = """
rules:
  depths:
    mode: alert
    when: >-
      depth(20bp, side=bid) > 2 * depth(10bp, side=ask) and imbalance(50bp) > 0.1 or depth(10bp) < 0.2 * depth(1%)
      or depth(50bp, side=ask) > 1.5 * depth(50bp, side=bid) and depth(20bp, side=ask) < depth(20bp)
    level: warning
    clear: {when: "depth(1%, side=bid) > depth(20bp, side=ask)", for: 500ms}
    actions: {warning: [alert]}
"""


def test_depths_that_share_their_walks_decide_the_same(tmp_path: Path) -> None:
    written = tmp_path / "depths.yaml"
    written.write_text(DEPTHS)
    program = compile_rules(load_rules([written]))
    plain = Told(fresh(jit=False, program=program)).feed(stream(1), 7).wait(10).all
    assert len(plain[0]) > 10
    assert Told(with_machine_code(fresh(jit=True, program=program))).feed(stream(1), 7).wait(10).all == plain


def test_a_persons_hold_decides_the_same() -> None:
    rows = stream(2)
    half = len(rows) // 2

    def told(make: Callable[[], Pipeline]) -> tuple[list[str], list[str], str]:
        at_work = Told(make()).feed(rows[:half], 1024)
        order = AddQuarantine(Target(TargetKind.BASE, "MOON"), 20_000_000, "news", "ann")
        at_work.take(at_work.pipeline.operate(order, at_work.pipeline.now_us))
        return at_work.feed(rows[half:], 1024).wait(10).all

    assert told(lambda: fresh(jit=True)) == told(lambda: fresh(jit=False))


@cache
def rare() -> Program:
    """Return rules that read every rare field with every choice of its arguments."""
    calls = []
    for name in RARE:
        words: list[list[str]] = [[]]
        for argument in FIELDS_BY_NAME[name].arguments:
            samples = argument.choices or {"w": ("10s", "60s"), "usd": ("10", "5000")}[argument.name]
            words = [[*before, f"{argument.name}={sample}"] for before in words for sample in samples]
        calls += [f"{name}({', '.join(chosen)})" for chosen in words]
    text = "".join(
        f'  r{number}: {{mode: alert, level: danger, when: "{call} * 0.5 < {call}"}}\n' for number, call in enumerate(calls)
    )
    report = Report()
    found = rules_from_text("rules:\n" + text, report)
    assert not report.errors
    return compile_rules(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_rare_fields_read_the_same_and_are_known(seed: int) -> None:
    rows = stream(seed)
    cut = len(rows) // 2
    forms = [Told(fresh(jit=jit, program=rare())) for jit in (False, True)]
    known: set[str] = set()
    for part in (rows[:cut], rows[cut:]):
        plain, compiled = (told.feed(part, 1024) for told in forms)
        kernels = [told.pipeline.engine.kernel for told in (plain, compiled)]
        for row in range(len(kernels[0])):
            now_us = plain.pipeline.now_us
            one, two = (kernel.values(row, now_us) for kernel in kernels)
            assert struct.pack(f"{len(one)}d", *one) == struct.pack(f"{len(two)}d", *two)
            known |= {leaf.field for leaf, value in zip(kernels[0].leaves, one, strict=True) if not math.isnan(value) and value}
    assert forms[0].all == forms[1].all
    # The tape tells of no day of listing, and is too short for thirty minutes beside the reference market.
    assert known >= {*RARE} - {"market_age", "corr"}
