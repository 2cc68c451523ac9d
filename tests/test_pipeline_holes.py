"""Nothing is scored over a hole: whatever is missing, no level rises from windows that cover it."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import Program, compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import Batch, Channel, Kind, Market, MarketFacts, Status, Verdict
from guard.pipeline import Pipeline

S = 1_000_000
T0 = 1_700_000_000 * S
WINDOW_S = 10
RULES = f"""
rules:
  jump: {{mode: alert, when: abs(ret({WINDOW_S}s)) > 1%, level: danger}}
  burst: {{mode: alert, when: trades({WINDOW_S}s) > 15, level: warning}}
  dry: {{mode: alert, when: trades({WINDOW_S}s) < 3, level: warning}}
"""
LOSSES = (Status.LOST, Status.STALLED, Status.MAINTENANCE)


@cache
def program() -> Program:
    report = Report()
    found = compile_rules(rules_from_text(RULES, report))
    assert not report.errors
    return found


@settings(max_examples=60, deadline=None)
@given(
    hole_s=st.integers(1, 40),
    after_s=st.integers(0, 9),
    how=st.sampled_from(["gap", *LOSSES]),
    jump=st.floats(1.02, 3.0),
    rate=st.integers(1, 4),
)
def test_no_level_rises_from_a_window_that_covers_a_hole(
    hole_s: int, after_s: int, how: str | Status, jump: float, rate: int
) -> None:
    pipeline = Pipeline(program())
    row = pipeline.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset({"trades"})))
    verdicts: list[Verdict] = []

    def send(kind: Kind, at_us: int, *, key: int = 0, price: float = 0.0, side: int = 1) -> None:
        batch = Batch(1)
        batch.append(kind, row, at_us=at_us, received_us=at_us, price=price, amount=1.0, side=side, key=key)
        verdicts.extend(pipeline.process(batch).verdicts)

    def trades(start_us: int, seconds: float, price: float, each_s: float) -> int:
        at_us = start_us
        while at_us < start_us + seconds * S:
            send(Kind.TRADE, at_us, price=price, key=at_us % 10**9)
            at_us += int(each_s * S)
        return at_us

    send(Kind.STATUS, T0, key=Status.LIVE, side=Channel.TRADES)
    last_us = trades(T0 + S, 60, 100.0, 1.0) - S
    verdicts.clear()
    back_us = last_us + hole_s * S
    if how == "gap":
        send(Kind.GAP, back_us, key=last_us, side=Channel.TRADES)
    else:
        send(Kind.STATUS, last_us + 1, key=int(how), side=Channel.TRADES)
        send(Kind.GAP, back_us, key=last_us, side=Channel.TRADES)
        send(Kind.STATUS, back_us, key=Status.LIVE, side=Channel.TRADES)
    # The market comes back elsewhere, and faster.
    trades(back_us, after_s, 100.0 * jump, 1.0 / rate)
    verdicts.extend(pipeline.advance(back_us + (WINDOW_S - 1) * S).verdicts)
    assert [v for v in verdicts if v.level > v.previous] == []


def test_the_same_jump_without_a_hole_is_seen() -> None:
    pipeline = Pipeline(program())
    row = pipeline.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset({"trades"})))
    batch = Batch(100)
    batch.append(Kind.STATUS, row, at_us=T0, received_us=T0, side=Channel.TRADES, key=Status.LIVE)
    for second in range(60):
        at_us = T0 + second * S
        batch.append(
            Kind.TRADE,
            row,
            at_us=at_us,
            received_us=at_us,
            price=100.0 if second < 50 else 110.0,
            amount=1.0,
            side=1,
            key=second + 1,
        )
    assert any(v.rule == "jump" for v in pipeline.process(batch).verdicts)
