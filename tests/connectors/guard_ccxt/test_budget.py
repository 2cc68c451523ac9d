from __future__ import annotations

from itertools import accumulate
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard_ccxt.rest.budget import Budget, Priority
from guard_ccxt.rest.quota import Quota, quota_of, weight_of

MINUTE_US = 60_000_000
SECOND_US = 1_000_000

ASKED = st.lists(
    st.tuples(
        st.integers(0, 20 * SECOND_US),  # until the next one is asked
        st.sampled_from(list(Priority)),
        st.floats(0.1, 60.0),
        st.integers(0, 70 * SECOND_US),  # how long it is under way
    ),
    max_size=60,
)


def played(
    budget: Budget, asked: list[tuple[int, Priority, float, int]], *, until_us: int
) -> list[tuple[int, int, Priority, float]]:
    """Ask as told, look every 0.25 s, and return (granted at, ended at, priority, weight) of what was let go."""
    arrivals = list(zip(accumulate(wait for wait, *_ in asked), asked, strict=True))
    known: dict[int, tuple[Priority, float, int]] = {}
    running: list[tuple[int, int]] = []
    done: list[tuple[int, int, Priority, float]] = []
    for now_us in range(0, until_us, SECOND_US // 4):
        while arrivals and arrivals[0][0] <= now_us:
            _, (_, priority, weight, lasts_us) = arrivals.pop(0)
            if weight > budget.most:
                with pytest.raises(ValueError, match="share of a minute"):
                    budget.ask(priority, weight, now_us)
                continue
            known[budget.ask(priority, weight, now_us)] = (priority, weight, lasts_us)
        for number, end_us in [one for one in running if one[1] <= now_us]:
            running.remove((number, end_us))
            budget.end(number, now_us)
        for number in budget.grant(now_us):
            priority, weight, lasts_us = known[number]
            running.append((number, now_us + lasts_us))
            done.append((now_us, now_us + lasts_us, priority, weight))
    return done


@settings(max_examples=60, deadline=None)
@given(ASKED, st.sampled_from([Quota(300.0, 60.0), Quota(100.0, 30.0), Quota(40.0, 10.0), Quota(8.0, 2.0)]), st.floats(0.05, 1.0))
def test_no_minute_holds_more_than_the_share_whatever_is_asked(
    asked: list[tuple[int, Priority, float, int]], limit: Quota, share: float
) -> None:
    done = played(Budget(limit, share=share), asked, until_us=8 * MINUTE_US)
    most = share * limit.per_minute
    # The exchange may count a request at any moment of its life.
    for part in (0.0, 0.5, 1.0):
        counted = sorted(
            (start + int((end - start) * part * (at % 3) / 2), weight) for at, (start, end, _, weight) in enumerate(done)
        )
        for first_us, _ in counted:
            assert sum(weight for at_us, weight in counted if first_us <= at_us < first_us + MINUTE_US) <= most + 1e-3
    # What is under way counts all the time.
    for now_us, *_ in done:
        live = sum(weight for start_us, end_us, _, weight in done if start_us <= now_us < end_us + MINUTE_US)
        assert live <= most + 1e-3


@settings(max_examples=30, deadline=None)
@given(ASKED)
def test_everything_that_fits_goes_in_the_end(asked: list[tuple[int, Priority, float, int]]) -> None:
    budget = Budget(Quota(400.0, 60.0), share=0.2)
    done = played(budget, asked, until_us=2 * 3600 * SECOND_US)
    assert len(done) == len(asked)
    assert budget.waiting() == budget.under_way() == 0
    assert budget.used(3 * 3600 * SECOND_US) == 0.0


def test_a_shorter_window_of_the_exchange_is_kept_too() -> None:
    done = played(Budget(Quota(20.0, 2.0), share=0.2), [(0, Priority.SNAPSHOT, 1.0, 0)] * 40, until_us=MINUTE_US)
    for start_us, *_ in done:
        assert sum(weight for at_us, _, _, weight in done if start_us <= at_us < start_us + 2 * SECOND_US) <= 4.0
    assert len(done) == 40


def test_a_request_heavier_than_a_short_window_passes_alone() -> None:
    done = played(Budget(Quota(20.0, 2.0), share=0.2), [(0, Priority.TICKERS, 10.0, 0)] * 3, until_us=MINUTE_US)
    assert [start_us // SECOND_US for start_us, *_ in done] == [0, 2, 4]


def test_history_leaves_half_of_the_share_to_a_reconnect() -> None:
    budget = Budget(Quota(1000.0, 60.0), share=0.2, concurrent=1000)
    for _ in range(300):
        budget.ask(Priority.HISTORY, 1.0, 0)
    assert len(list(budget.grant(0))) == 100
    for _ in range(120):
        budget.ask(Priority.SNAPSHOT, 1.0, 1)
    assert len(list(budget.grant(1))) == 100


def test_the_more_urgent_goes_first_and_within_one_kind_the_first() -> None:
    budget = Budget(Quota(1000.0, 60.0), share=1.0)
    numbers = [budget.ask(priority, 1.0, at) for at, priority in enumerate([*reversed(Priority), *Priority])]
    kinds = len(Priority)
    by_urgency = [numbers[place] for first in range(kinds) for place in (kinds - 1 - first, kinds + first)]
    granted = []
    while budget.waiting():
        for number in budget.grant(10, most=1):
            granted.append(number)
            budget.end(number, 10)
    assert granted == by_urgency


def test_no_kind_starves_while_snapshots_never_end() -> None:
    budget = Budget(Quota(100.0, 60.0), share=0.2)
    storm = [(SECOND_US, Priority.SNAPSHOT, 5.0, 0)] * 600
    history = [(0, Priority.HISTORY, 12.0, 0)] * 5  # more than half of the share: its turn comes all the same
    done = played(budget, sorted([*history, *storm], key=lambda one: one[1] is not Priority.HISTORY), until_us=12 * MINUTE_US)
    passed = [start_us for start_us, _, priority, _ in done if priority is Priority.HISTORY]
    assert len(passed) == 5
    assert passed[-1] < 11 * MINUTE_US
    assert sum(priority is Priority.SNAPSHOT for _, _, priority, _ in done) > 5


def test_what_no_longer_waits_is_forgotten() -> None:
    budget = Budget(Quota(100.0, 60.0), share=0.2)
    number = budget.ask(Priority.HISTORY, 1.0, 0)
    budget.drop(number)
    budget.drop(number)
    budget.end(number, 5)
    assert list(budget.grant(0)) == []
    assert budget.used(0) == 0.0


@pytest.mark.parametrize("pace", [0, -5, None, "fast", float("nan"), float("inf"), 1e12])
def test_an_exchange_whose_pace_makes_no_sense_is_asked_slowly(pace: object) -> None:
    assert quota_of(SimpleNamespace(id="odd", rateLimit=pace)).per_minute == 6.0


@pytest.mark.parametrize(("cost", "weight"), [(None, 5.0), (2, 10.0), (-1, 0.0), (float("nan"), 5.0), ("x", 5.0), (True, 5.0)])
def test_a_cost_that_makes_no_sense_is_one_unit(cost: object, weight: float) -> None:
    assert weight_of("other", "http://x/y", cost, 5.0) == weight


def test_repairs_of_busy_markets_go_first_and_those_without_a_chance_are_known_at_once() -> None:
    budget = Budget(Quota(600.0, 60.0), share=0.2, concurrent=100)  # 120 a minute, repairs up to 108
    numbers = [budget.ask(Priority.REPAIR, 25.0, 0, rank=float(rank)) for rank in (1, 9, 3, 7, 5)]
    assert budget.hopeless(Priority.REPAIR, 0, within_us=5 * SECOND_US) == [numbers[0]]
    assert list(budget.grant(0)) == [numbers[at] for at in (1, 3, 4, 2)]


def test_a_repair_has_a_chance_where_weight_is_free_again_in_time() -> None:
    budget = Budget(Quota(600.0, 60.0), share=0.2)
    first = budget.ask(Priority.SNAPSHOT, 100.0, 0)
    assert list(budget.grant(0)) == [first]
    budget.end(first, 0)
    early, late = (budget.ask(Priority.REPAIR, 25.0, at * SECOND_US) for at in (50, 57))
    assert budget.hopeless(Priority.REPAIR, 57 * SECOND_US, within_us=5 * SECOND_US) == [early]
    budget.drop(early)
    assert list(budget.grant(57 * SECOND_US)) == []
    assert list(budget.grant(60 * SECOND_US)) == [late]


def test_repairs_leave_room_for_the_books_that_are_about_to_begin() -> None:
    budget = Budget(Quota(2000.0, 30.0), share=0.2, concurrent=1000)  # 400 in 30 s
    budget.reserve(80 * 4.0)
    repairs = [budget.ask(Priority.REPAIR, 3.0, 0) for _ in range(80)]
    assert len(list(budget.grant(0))) == 13  # 40 of 360
    assert len(budget.hopeless(Priority.REPAIR, 0, within_us=SECOND_US)) == 67
    for number in repairs:
        budget.drop(number)
    books = [budget.ask(Priority.SNAPSHOT, 4.0, 0) for _ in range(80)]
    assert list(budget.grant(0)) == books
    budget.reserve(1e9)  # never all of it
    assert budget.ask(Priority.REPAIR, 3.0, 60 * SECOND_US) in list(budget.grant(200 * SECOND_US))
