"""Measures run, small, and say why where they cannot; no time is asserted."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from guard.cli.replay import replay
from guard.dsl.compiler import compile_condition
from guard.dsl.loading import check
from guard.runtime.bench.checking import made
from guard.runtime.bench.expression import program as bench_program
from guard.runtime.bench.live_cost import drive
from guard.runtime.bench.measures import MEASURES, run_bench
from guard.runtime.bench.memory import asked
from guard.runtime.bench.past import beginnings, past
from guard.runtime.bench.peer import PEERS
from guard.runtime.bench.plan import Behind, Plan
from guard.runtime.bench.process import usage
from guard.runtime.bench.recordings import BATCH_ROWS, in_memory, recorded, replayed, write_recording
from guard.runtime.bench.reload import changed
from guard.runtime.bench.subject import Build, Warmed, best_build, program
from guard.runtime.bench.workload import Markets, batches, joined, stream
from guard.runtime.clock import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

TINY = Plan(SystemClock(), rounds=1, scale=0.002, is_plain=True)
PLAIN = Build(is_jitted=False)
TWIN = """
import json, sys
print(json.dumps({"name": "a twin of " + sys.argv[1][-8:]}), flush=True)
for _ in sys.stdin:
    print(json.dumps({"seconds": 2.0, "events": 1000}), flush=True)
"""


@pytest.fixture(scope="module")
def markets() -> Markets:
    return Markets(6)


def test_state_alone_is_told_and_not_judged_without_its_peer() -> None:
    (row,) = run_bench(TINY, ["a"])
    assert row.value is not None
    assert row.value.median > 0.0
    assert row.is_met is None
    assert "peers" in row.note
    assert "--plain" in row.note


def test_state_is_held_against_a_peer_that_answers(tmp_path: Path) -> None:
    (tmp_path / PEERS["c"][0]).write_text(TWIN)
    (row,) = run_bench(TINY._replace(peers=tmp_path), ["a"])
    assert row.reference_name == "a twin of rows.npz"
    assert row.reference is not None
    assert row.reference.median == 2e6
    assert row.value is not None
    assert row.compared is not None
    assert row.compared.median == pytest.approx(row.value.median / 2e6)


@pytest.mark.parametrize(
    ("program_text", "told"),
    [
        ('print(\'{"missing": "no compiler here"}\')', "no compiler here"),
        ("raise SystemExit(3)", "ended with code 3"),
        (TWIN.replace("for _", "sys.exit(5)\nfor _"), "ended with code 5"),
    ],
)
def test_peer_that_fails_leaves_the_figure_and_its_reason(tmp_path: Path, program_text: str, told: str) -> None:
    (tmp_path / PEERS["c"][0]).write_text(program_text)
    (row,) = run_bench(TINY._replace(peers=tmp_path), ["a"])
    assert row.value is not None
    assert row.is_met is None
    assert told in row.note


def test_replay_measure_makes_a_tape_where_none_is_given() -> None:
    plain, jitted = run_bench(TINY, ["c"])
    assert plain.value is not None
    assert plain.is_met is not None
    assert "a made tape" in plain.title
    assert (jitted.build, jitted.value, jitted.note) == ("jitted", None, "--plain was given")


def test_measure_that_cannot_run_gives_one_row_with_its_reason(tmp_path: Path) -> None:
    (row,) = run_bench(TINY._replace(tapes=(tmp_path / "gone.csv",)), ["c"])
    assert row.is_met is None
    assert "cannot run" in row.note
    assert "gone.csv" in row.note


def test_every_measure_is_there() -> None:
    for module, title in MEASURES.values():
        assert title
        assert callable(__import__(f"guard.runtime.bench.{module}", fromlist=["measure"]).measure)


def test_latency_counts_every_row_that_was_sent() -> None:
    p50, p99 = run_bench(TINY, ["e"])
    for row in (p50, p99):
        assert row.value is not None, row.note
        assert row.reference is not None
        assert row.value.median > 0.0
    assert p50.value is not None
    assert p99.value is not None
    assert p50.value.median <= p99.value.median


def test_fifteen_rules_are_known_and_quiet_on_the_stream() -> None:
    markets = Markets(30)
    subject = Warmed(markets, is_jitted=False, behind=Behind(1_800)).fresh()
    decisions = [subject.process(batch.plain()) for batch in batches(stream(markets, 5_000, per_second=50_000))]
    assert len(program().rules) == 15
    assert sum(len(decision.transitions) for decision in decisions) == 0
    assert sum(len(decision.verdicts) for decision in decisions) <= 5
    # A rule that turned known and says nothing is no news: outcomes are brought up to date where somebody looks.
    for row in range(30):
        subject.engine.look(row, subject.now_us)
    unknown = [
        (subject.engine.program.rules[o.rule].id, row)
        for row in range(30)
        for o in subject.engine.watched[row].outcomes
        if o.fires is None
    ]
    assert unknown == []


def test_parquet_and_memory_give_the_same_decisions(tmp_path: Path, markets: Markets) -> None:
    pytest.importorskip("pyarrow")
    rows = joined(beginnings(markets), stream(markets, 2_500, per_second=5_000))
    write_recording(tmp_path / "rows.parquet", markets, rows)
    warmed = Warmed(markets, is_jitted=False, behind=Behind(20, minutes=0))
    clock = SystemClock()
    first, second = warmed.fresh(), warmed.fresh()
    summaries = [
        replayed(first, in_memory(batches(rows)), PLAIN, clock=clock),
        replayed(second, recorded(tmp_path / "rows.parquet"), PLAIN, clock=clock),
    ]
    assert summaries[0]["digest"] == summaries[1]["digest"]
    assert summaries[0]["events"] == summaries[1]["events"] == 2_500
    assert first.save() == second.save()


def test_recordings_are_read_in_batches_as_large_as_the_command_takes() -> None:
    (option,) = [each for each in replay.params if each.name == "batch_rows"]
    assert option.default == BATCH_ROWS


def test_live_drive_ends_where_replay_ends(markets: Markets) -> None:
    columns = stream(markets, 2_500, per_second=5_000)
    warmed = Warmed(markets, is_jitted=False, behind=Behind(20, minutes=0))
    driven, played = warmed.fresh(), warmed.fresh()
    drive(driven, list(zip(*(column.tolist() for column in columns), strict=True)), SystemClock())
    replayed(played, in_memory(batches(columns)), PLAIN, clock=SystemClock())
    assert driven.save() == played.save()


def test_footprint_counts_markets_with_five_windows() -> None:
    found = asked("footprint", "plain", "300")
    assert found["windows"] == 5.0
    assert 1_000.0 < found["bytes"] < 1e6


def test_usage_reads_this_process() -> None:
    before = usage(os.getpid())
    sum(range(3_000_000))
    after = usage(os.getpid())
    assert after.cpu_s > before.cpu_s
    assert after.resident > 1_000_000


def test_plain_is_chosen_where_it_is_asked_for() -> None:
    build = best_build(TINY)
    assert (build.is_jitted, build.name) == (False, "plain")


def test_past_covers_every_market(markets: Markets) -> None:
    assert set(past(markets, seconds=10, minutes=0).market.tolist()) == set(range(6))


def test_reload_is_told_plain_and_not_judged_without_the_compiled_kernel() -> None:
    jitted, plain = run_bench(TINY, ["j"])
    assert (jitted.key, jitted.value, jitted.note) == ("j.jitted", None, "--plain was given")
    assert plain.value is not None
    assert plain.value.median > 0.0
    assert plain.is_met is None
    assert "compiled kernel" in plain.note


def test_reload_that_is_measured_changes_one_rule_and_no_window() -> None:
    before, after = program(), changed()
    assert after.leaves == before.leaves
    assert sum(ours.hash != theirs.hash for ours, theirs in zip(before.rules, after.rules, strict=True)) == 1


def test_checkpoint_is_held_against_its_bar_in_either_form() -> None:
    jitted, plain = run_bench(TINY, ["k"])
    assert (jitted.key, jitted.value, jitted.note) == ("k.jitted", None, "--plain was given")
    assert plain.value is not None
    assert plain.value.median > 0.0
    assert plain.is_met is (plain.value.median <= 1.0)


def test_sweep_is_held_against_as_many_replays() -> None:
    (row,) = run_bench(TINY, ["l"])
    assert row.compared is not None, row.note
    assert row.reference is not None
    assert row.reference.median > 0.0
    assert row.is_met is None
    assert "--plain" in row.note


def test_expression_is_told_and_not_judged_without_its_peers() -> None:
    cel, simple, whole = run_bench(TINY, ["m"])
    for row in (cel, simple, whole):
        assert row.value is not None
        assert row.value.median > 0.0
        assert row.is_met is None
    assert "no folder of peers" in cel.note


def test_expression_is_held_against_a_peer_that_answers(tmp_path: Path) -> None:
    for name in ("cel", "simpleeval"):
        (tmp_path / PEERS[name][0]).write_text(TWIN)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    cel, simple, whole = run_bench(TINY._replace(peers=tmp_path), ["m"])
    assert cel.reference is not None
    assert cel.reference.median == 2e6
    assert cel.is_met
    assert simple.is_met
    assert whole.is_met is None


def test_expression_that_is_measured_knows_zero_and_unknown() -> None:
    rules = bench_program()
    assert [str(leaf) for leaf in rules.leaves] == ["a()", "b()", "c()", "d()"]
    holds = compile_condition(rules._graph, rules._plans[0].fires)
    nan = float("nan")
    rows = {(4.0, 1.0, 1.0, 1.0): True, (4.0, 1.0, 1.0, 9.0): False, (4.0, 1.0, 1.0, 0.0): None, (4.0, nan, 1.0, 1.0): None}
    assert {row: holds(row) for row in rows} == rows
    assert holds((2.0, 1.0, 1.0, 0.0)) is False


def test_file_of_three_hundred_rules_is_sound_and_large_and_varied(tmp_path: Path) -> None:
    text = made(300)
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    assert len(text) > 380_000
    assert check([path]) == ()
    assert len({line for line in text.splitlines() if "when: found.score" in line}) == 300


def test_check_of_many_rules_is_held_against_reading_alone() -> None:
    judged, told = run_bench(TINY, ["n"])
    assert judged.value is not None
    assert judged.reference is not None
    assert judged.is_met is not None
    assert told.is_met is None
