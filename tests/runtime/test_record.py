"""A run with reloads and orders, recorded, and replayed to the same decisions."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from guard.cli.main import main
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import ConfigurationError, OperationRefused
from guard.model import (
    AddMaintenance,
    AddQuarantine,
    Batch,
    Channel,
    EndMaintenance,
    IsolationState,
    Kind,
    Market,
    MarketFacts,
    ReleaseQuarantine,
    Status,
    Target,
    TargetKind,
)
from guard.pipeline import Settings
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.course import Course
from guard.runtime.lines import DecisionLog, lines_of
from guard.runtime.record import RecordedPipeline, recorder
from guard.runtime.replay import opened_tape
from guard.runtime.replay_recorded import RecordedReplay, recorded_pipeline
from guard.runtime.simulate import Simulation
from guard_sim import tape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guard.dsl import RuleSet
    from guard.model import Decision

pytest.importorskip("pyarrow")
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed: there is no compiled form to compare")

S = 1_000_000
T0 = 1_700_000_000 * S
SECONDS, HISTORY_S = 150.0, 1_800.0
RULES = """
rules:
  rush:
    mode: enforce
    when: abs(ret(10s)) > 0.2%
    level: danger
    for: 2s
    clear: {when: abs(ret(10s)) < 0.1%, for: 5s}
    actions: {danger: [alert, {quarantine: {for: 15s, release: {when: abs(ret(10s)) < 0.1%, for: 5s, probation: 10s}}}]}
  busy:
    mode: shadow
    when: trades(10s) >= 20
    level: warning
    for: 3s
    clear: {for: 5s}
  special:
    mode: enforce
    scope: {tags: [st]}
    when: trades(30s) >= 1 and market.listing_risk > 0.5
    level: danger
    clear: {for: 5s}
    actions: {danger: [{quarantine: {for: 20s}}]}
  gone:
    mode: enforce
    when: trades(10s) >= 25
    level: danger
    clear: {for: 5s}
    actions: {danger: [{quarantine: {for: 20s}}]}
"""
# Another threshold, another window, one rule less, one that may do more.
SECOND = RULES.replace("trades(10s) >= 20", "trades(15s) >= 18").replace("mode: shadow", "mode: alert").partition("  gone:")[0]
THIRD = SECOND.replace("mode: enforce", "mode: shadow") + "  new: {mode: enforce, when: trades(30s) > 5, level: warning}\n"


def rules(text: str) -> RuleSet:
    report = Report()
    found = rules_from_text(text, report)
    assert not report.errors
    return found


class Run(RecordedPipeline):
    """The run: reloads where a rule waits for its `for` and where something is held, orders in between."""

    def __init__(self, path: Path, *, jit: bool = False, limits: dict[str, int] | None = None) -> None:
        first = rules(RULES)
        self.writer = recorder(path, clock=SystemClock(), **(limits or {}))
        super().__init__(first, compile_rules(first), Settings(references={"sim": "BTC/USDT"}), writer=self.writer, jit=jit)
        self.sets = [rules(text) for text in (SECOND, THIRD)]
        for each in self.sets:
            self.learn(each)
        self.log = DecisionLog()
        self.kinds: Counter[str] = Counter()
        self.did: list[str] = []
        self.levels: set[str] = set()
        self.steps: list[tuple[str, Callable[[], bool]]] = [
            ("reload while a rule waits", self.waits),
            ("tagged", lambda: True),
            ("order", lambda: True),
            ("reload while something is held", self.holds),
            ("refused order", lambda: True),
            ("untagged", lambda: True),
            ("release", lambda: bool(self.isolation.active())),
        ]
        self.pause = 0

    def holds(self) -> bool:
        held = (each for each in self.isolation.active() if each.state is IsolationState.QUARANTINED)
        return {"rush", "gone"} <= {each.hold.rule for each in held}

    def waits(self) -> bool:
        return self.now_us > 0 and any(e.is_open and not e.level for w in self.engine.watched for e in w.episodes)

    def advance(self, now_us: int) -> Decision:
        self.take(super().advance(now_us))
        self.pause = max(0, self.pause - 1)
        if self.steps and not self.pause and self.steps[0][1]():
            self.step(self.steps.pop(0)[0], now_us)
        return super().advance(now_us)

    def step(self, name: str, now_us: int) -> None:
        self.pause = 8
        self.did.append(name)
        market = Target(TargetKind.MARKET, "sim:ETH/USDT")
        if name.endswith("tagged"):
            tags, risk = (frozenset({"st"}), 0.7) if name == "tagged" else (frozenset[str](), 0.0)
            self.take(self.treat(Market("sim", "ETH/USDT"), tags, risk, now_us))
        elif name.startswith("reload"):
            self.take(self.load(compile_rules(self.sets.pop(0)), now_us))
        elif name == "order":
            self.take(self.operate(AddQuarantine(market, 120_000_000, "news", "ann"), now_us))
        elif name == "release":
            (held, *_) = self.isolation.active()
            self.take(self.operate(ReleaseQuarantine(None, held.id, "fine", "bob"), now_us))
        else:
            with pytest.raises(OperationRefused):
                self.operate(AddQuarantine(market, 1_000, "shorter", "ann"), now_us)

    def take(self, decision: Decision) -> None:
        for record in lines_of(decision):
            self.log.write(record)
            self.levels.add(f"{record.get('rule')} {record.get('level')}")
            self.kinds[record["type"] if record["type"] == "verdict" else record["cause"]] += 1


def recorded(path: Path, *, jit: bool = False) -> Run:
    run = Run(path, jit=jit)
    simulation = Simulation(run, tape, on_decision=run.take)
    schedule = [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 40}]
    symbols = ["BTC/USDT", "ETH/USDT", "MOON/USDT", "YAWN/USDT"]
    simulation.run(seconds=SECONDS, history_s=HISTORY_S, clock=SystemClock(), seed=7, schedule=schedule, symbols=symbols)
    assert run.finish()
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    path = tmp_path_factory.mktemp("record") / "run.parquet"
    return recorded(path), path


def replayed(path: Path, batch_rows: int, *, jit: bool = False) -> tuple[str, RecordedReplay]:
    opened = opened_tape([path], exchange="x")
    course = Course(opened.course, path)
    replay = RecordedReplay(
        recorded_pipeline(course, jit=jit), course, batch_rows=batch_rows, write=lambda _: None, takes_arrays=jit
    )
    return replay.play(opened, clock=SystemClock())["digest"], replay


def test_the_run_is_worth_a_recording(run: tuple[Run, Path]) -> None:
    made, _ = run
    assert made.did == [
        "reload while a rule waits",
        "tagged",
        "order",
        "reload while something is held",
        "refused order",
        "untagged",
        "release",
    ]
    assert {"special danger", "special normal"} <= made.levels
    assert made.kinds["verdict"] > 10
    assert made.kinds["rule"] > 1
    assert made.kinds["rule_gone"] > 0
    assert made.kinds["operator"] == 2


@pytest.mark.parametrize("batch_rows", [1, 4096])
def test_a_replay_as_recorded_decides_what_the_run_decided(run: tuple[Run, Path], batch_rows: int) -> None:
    made, path = run
    digest, replay = replayed(path, batch_rows)
    assert digest == made.log.digest
    assert replay.reloads == 2
    assert replay.left_out == 0


@needs_numba
@pytest.mark.parametrize("batch_rows", [1, 4096])
def test_a_compiled_replay_as_recorded_decides_the_same(run: tuple[Run, Path], batch_rows: int) -> None:
    made, path = run
    assert replayed(path, batch_rows, jit=True)[0] == made.log.digest


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    shown = capsys.readouterr()
    return int(str(ended.value.code)), shown.out + shown.err


def test_the_command_replays_as_recorded_and_says_what_it_leaves_out_otherwise(
    run: tuple[Run, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, path = run
    copy = tmp_path / "copy.parquet"
    assert command(capsys, "tape", "convert", str(path), "--out", str(copy))[0] == 0
    for file in (path, copy):
        code, out = command(capsys, "--json", "replay", "--as-recorded", "--no-jit", str(file))
        assert code == 0, out
        assert json.loads(out.splitlines()[-1])["digest"] == made.log.digest
    assert "of a live run, with the 3 rule sets that it had" in command(capsys, "tape", "info", str(copy))[1]
    _, out = command(capsys, "replay", "--no-jit", str(path))
    assert "4 reloads and orders of the recorded run were left out; --as-recorded does them again" in out


def test_a_file_without_a_course_cannot_be_replayed_as_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trades = tmp_path / "trades.csv"
    trades.write_text("symbol,timestamp,side,price,amount\nA/USDT,1700000000000,buy,1,1\n")
    code, out = command(capsys, "replay", "--as-recorded", str(trades))
    assert code == 3
    assert "T006" in out
    assert "it holds no rules" in out
    assert command(capsys, "replay", "--as-recorded", "--rules", str(tmp_path), str(trades))[0] == 2


def damaged(path: Path, **changed: object) -> str:
    course = opened_tape([path], exchange="x").course

    def use() -> None:
        opened = Course({**course, **changed}, path)
        opened.program(opened.first)
        opened.order(99)

    with pytest.raises(ConfigurationError) as found:
        use()
    return str(found.value)


def test_a_recording_that_is_damaged_or_newer_is_refused_with_the_reason(run: tuple[Run, Path]) -> None:
    _, path = run
    sets = opened_tape([path], exchange="x").course["rules"]
    other = {name: [text.replace("0.2%", "0.3%") for text in texts] for name, texts in sets.items()}
    broken = {name: ["rules: {rush: {when: nonsense(}}"] for name in sets}
    assert "version 2" in damaged(path, version=2)
    assert "has no rules with the key" in damaged(path, first="nothing")
    assert "reads the recorded rules as others" in damaged(path, rules=other)
    assert "(recorded rules)" in damaged(path, rules=broken)
    assert "cannot be read" in damaged(path, begin={})
    assert "cannot be read" in damaged(path, orders=[{"order": "add"}])
    assert "has no order 99" in damaged(path)


def test_whatever_is_done_to_a_pipeline_is_on_its_recording(tmp_path: Path) -> None:
    for seed in range(4):
        path = tmp_path / f"{seed}.parquet"
        made = scrambled(path, seed)
        assert made.kinds["verdict"] > 3, f"{seed}: nothing would be shown"
        assert replayed(path, 5 + 95 * (seed % 2))[0] == made.log.digest, seed


def scrambled(path: Path, seed: int) -> Run:
    """Return a run in which time passes by itself, rows come late, markets open late, and people do something at any moment."""
    random = seeded_random(seed).random
    run, at_us, left = Run(path), T0, list("ABC")
    run.steps.clear()
    sets = [*run.sets, rules(RULES)]
    target = Target(TargetKind.EXCHANGE, "x")
    opened: list[int] = []
    for key in range(1_500):
        at_us += int(random() * (0.2 if random() < 0.99 else 20) * S)
        chance = random()
        if left and (chance < 0.002 or (not opened and chance < 0.01)):
            facts = MarketFacts(Market("x", f"{left.pop()}/USDT"), streams=frozenset({"trades"}))
            opened.append(run.open(facts))
            run.take(run.process(row(Kind.STATUS, opened[-1], at_us, side=Channel.TRADES, key=Status.LIVE)))
        elif chance < 0.004:
            run.take(run.load(compile_rules(sets[int(len(sets) * random())]), at_us))
        elif chance < 0.006:
            orders = (
                AddQuarantine(target, int(30 * S * random()) + 1, "news", "ann"),
                ReleaseQuarantine(target, None, "ok", "bob"),
            )
            with suppress(OperationRefused):
                run.take(run.operate(orders[int(2 * random())], at_us))
        elif chance < 0.009:
            start_us = at_us + int(20 * S * random())
            windows = (
                AddMaintenance(target, start_us, start_us + int(20 * S * random()), "up", "ann"),
                EndMaintenance(target, None, "", ""),
            )
            with suppress(OperationRefused):
                run.take(run.operate(windows[int(1.3 * random())], at_us))
        elif chance < 0.05:
            run.take(RecordedPipeline.advance(run, at_us))
        elif opened:
            # Now and then a row is handed over after time has passed its arrival.
            late_us = int(random() * S) if random() < 0.1 else 0
            price = 100 + random()
            batch = row(Kind.TRADE, opened[int(len(opened) * random())], at_us - late_us, side=1, key=key, price=price)
            run.take(run.process(batch))
    run.take(RecordedPipeline.advance(run, at_us + 60 * S))
    run.finish()
    return run


def row(kind: Kind, market: int, at_us: int, **columns: float) -> Batch:
    batch = Batch(1)
    batch.append(kind, market, at_us=at_us, received_us=at_us, amount=1.0, **columns)  # type: ignore[arg-type]  # whole ones are ints
    return batch


def test_a_disk_that_is_full_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path / "full.parquet", limits={"free_bytes": 1 << 62})
    run.steps.clear()
    market = run.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset({"trades"})))
    run.process(row(Kind.STATUS, market, T0, side=Channel.TRADES, key=Status.LIVE))
    for second in range(20):
        run.process(row(Kind.TRADE, market, T0 + second * S, side=1, key=second + 1, price=1.0))
    assert run.now_us == T0 + 19 * S
    assert not run.finish()
    health = run.writer.health()
    assert "MB are left to others" in health.problem
    assert health.lost == 23
    assert list(tmp_path.iterdir()) == []
