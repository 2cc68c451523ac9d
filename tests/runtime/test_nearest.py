"""The nearest misses of a calm board."""

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.model import AddQuarantine, Target, TargetKind
from guard.pipeline import Pipeline, Settings
from guard.runtime.clock import SystemClock
from guard.runtime.market_records import nearest
from guard.runtime.simulate import Simulation
from guard.runtime.slices import Slices
from guard_sim import tape

CLOCK = SystemClock()


def calm(symbols: list[str]) -> Pipeline:
    pipeline = Pipeline(compile_rules(load_rules(shipped_packs())), Settings(references={"sim": "BTC/USDT"}))
    run = Simulation(pipeline, tape, on_decision=lambda _: None)
    run.run(seconds=70, history_s=86_400, clock=CLOCK, schedule="calm", symbols=symbols)
    return pipeline


async def test_calm_markets_are_told_with_what_is_missing() -> None:
    near = await nearest(calm(["BTC/USDT", "MOON/USDT", "SUDS/USDT", "YAWN/USDT", "SOL/USDT"]), Slices(CLOCK.monotonic_us))
    assert len(near) == 3
    assert [each["score"] for each in near] == sorted((each["score"] for each in near), reverse=True)
    assert all("score >= 0.6 (is " in each["missing"] for each in near)


async def test_a_market_that_is_held_is_not_near_to_anything() -> None:
    pipeline = calm(["BTC/USDT", "MOON/USDT"])
    target = Target(TargetKind.MARKET, "sim:MOON/USDT")
    pipeline.operate(AddQuarantine(target, 60_000_000, "test", "ann"), pipeline.now_us)
    assert {each["market"] for each in await nearest(pipeline, Slices(CLOCK.monotonic_us))} == {"sim:BTC/USDT"}
