"""A calm hour of the simulated market, in virtual time: nobody is blocked, nobody is woken."""

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.pipeline import Pipeline, Settings
from guard.runtime.clock import SystemClock
from guard.runtime.settings import board_policy
from guard.runtime.simulate import Simulation
from guard_sim import tape

# The two leaders and the thin coins, on which a false alarm is most likely; the whole market is `guard simulate --decide`.
SYMBOLS = ["BTC/USDT", "MOON/USDT", "SUDS/USDT", "YAWN/USDT", "DUST/USDT"]


def test_a_calm_hour_blocks_nothing_and_pushes_nothing() -> None:
    settings = Settings(references={"sim": "BTC/USDT"}, alerts=board_policy())
    run = Simulation(Pipeline(compile_rules(load_rules(shipped_packs())), settings), tape, on_decision=lambda _: None)
    summary = run.run(seconds=3600, history_s=86_400, clock=SystemClock(), seed=11, schedule="calm", symbols=SYMBOLS)
    assert summary["events"] > 100_000
    assert summary["quarantines"] == 0
    assert summary["pushes"] == 0
    assert summary["false_quarantines"] == 0
