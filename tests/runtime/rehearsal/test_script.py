from __future__ import annotations

import pytest
from runtime.rehearsal.cases import case, problems_of

from guard.runtime.rehearsal.values import is_absolute

HEAD = "tests:\n  one:\n    rule: jump\n"


@pytest.mark.parametrize(
    ("written", "start", "target", "is_relative", "over_us"),
    [
        ("100 -> 106 over 30s", 100.0, 106.0, False, 30_000_000),
        ("106 over 30s", None, 106.0, False, 30_000_000),
        ("+6% over 1m", None, 0.06, True, 60_000_000),
        ("-50bp", None, -0.005, True, 0),
        ("120", None, 120.0, False, 0),
    ],
)
def test_a_move_is_read_as_written(written: str, start: float | None, target: float, is_relative: bool, over_us: int) -> None:  # noqa: FBT001 - a value of the table
    move = case(f'feed: [{{at: 1s, price: "{written}"}}]').feed[0].price
    assert move is not None
    assert (move.start, move.is_relative, move.over_us) == (start, is_relative, over_us)
    assert move.target == pytest.approx(target)


@pytest.mark.parametrize(
    "written", ["fast", "100 -> ", "-> 5", "0 -> 5", "100 -> 0", "-100%", "5 over", "5 over fast", "10s", "5 over 3"]
)
def test_what_is_no_move_is_refused_at_its_place(written: str) -> None:
    (problem,) = problems_of(HEAD + f'    feed:\n      - {{at: 1s, price: "{written}"}}\n    expect: [{{never: warning}}]\n')
    assert problem.startswith("5:25 ")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{at: 1s}", "a step is one of"),
        ("{at: 1s, spread: 5x, silence: 3s}", "found silence, spread"),
        ("{at: 1s, trades: 5/s}", "trades need over"),
        ("{at: 1s, price: 5 over 1s, sweep: 3}", "this step has no trades"),
        ("{at: 1s, trades: 5, over: 3s}", "expected a rate"),
        ("{at: 1s, trades: 0/s, over: 3s}", "expected a rate"),
        ("{at: 1s, spread: 0x}", "must be > 0"),
        ("{at: 1s, wall: {side: bid, size: 2x, for: 1s, times: 3}}", "needs every: and times:"),
        ("{at: 1s, market: sim:NOPE/USDT, silence: 3s}", "there is no market 'sim:NOPE/USDT' in this test"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_with_a_reason(step: str, words: str) -> None:
    (problem,) = problems_of(HEAD + f"    feed:\n      - {step}\n    expect: [{{never: warning}}]\n")
    assert words in problem


@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        ("{level: danger}", "one of at:, by:, never:"),
        ("{by: 1s, at: 2s, level: danger}", "one of at:, by:, never:"),
        ("{by: 1s}", "say level: or at_least:"),
        ("{never: warning, blocked: true}", "never: stands alone"),
        ("{by: 1s, level: danger, at_least: danger}", "say level: or at_least:"),
        ("{by: 1s, after: 2s, level: danger}", "after: belongs to by:"),
        ("{at: 10, level: danger}", "a duration needs its unit"),
        ("{never: warning, market: BTC}", "exchange:SYMBOL"),
    ],
)
def test_an_expectation_that_makes_no_sense_is_refused_with_a_reason(expectation: str, words: str) -> None:
    (problem,) = problems_of(HEAD + f"    expect:\n      - {expectation}\n")
    assert words in problem
    assert problem.startswith("5:")


def test_a_test_that_expects_nothing_is_refused() -> None:
    assert "a test expects something" in problems_of(HEAD + "    expect: []\n")[0]


def test_every_mistake_of_a_file_is_told_in_one_run() -> None:
    found = problems_of(HEAD + "    sed: 3\n    feed:\n      - {at: 3, silence: 2s}\n    expect: [{never: calm}]\n")
    assert [problem.split(" ")[0] for problem in found] == ["4:5", "6:14", "7:22"]


def test_a_moment_of_the_calendar_is_told_from_a_time_since_the_beginning() -> None:
    test = case('expect: [{by: "2018-09-07T15:30Z", level: danger}, {at: 40s, level: normal}]')
    first, second = test.expect
    assert first.by == 1_536_334_200_000_000
    assert is_absolute(first.by)
    assert second.at == 40_000_000


def test_a_recording_stands_in_place_of_a_feed() -> None:
    assert (
        "stands in place of feed:"
        in problems_of(HEAD + "    recording: x.csv\n    feed: [{at: 1s, silence: 2s}]\n    expect: [{never: warning}]\n")[0]
    )
