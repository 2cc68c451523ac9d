from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.analysis.report import Inputs, report_of
from guard.analysis.report_page import page_of
from guard.analysis.report_text import digest_of, document_of, text_of
from guard.model.aftermath import Aftermath

S = 1_000_000
SINCE, UNTIL = 1_000 * S, 101_000 * S


def held(name: str, rule: str, *, opened_s: int, until_s: int = 0, state: str = "quarantined") -> dict[str, Any]:
    return {"id": name, "hold": {"rule": rule}, "opened_us": opened_s * S, "until_us": until_s * S, "state": state}


def moved(one: dict[str, Any], *, at_s: int, previous: str, state: str) -> dict[str, Any]:
    return {"at_us": at_s * S, "rule": one["hold"]["rule"], "previous": previous, "state": state, "quarantine": one}


def block(
    name: str,
    *,
    price: float | None = 100.0,
    after: tuple[float | None, ...] = (None, None, None),
    **more: Any,  # noqa: ANN401 - fields of the record
) -> Aftermath:
    closed = tuple(price is not None for price in after)
    given = {"market": "sim:X/USDT", "target": "sim:X/USDT", "rule": "pump", "level": "danger", "bound": True} | more
    return Aftermath(name, opened_us=2_000 * S, for_us=60 * S, price=price, prices=after, closed=closed, **given)


def inputs(**parts: Any) -> Inputs:  # noqa: ANN401 - fields of the record
    empty = {"transitions": (), "verdicts": (), "standing": (), "aftermaths": (), "sums": {}}
    return Inputs(since_us=SINCE, until_us=UNTIL, **(empty | parts))


def test_a_stay_counts_from_its_beginning_to_its_release_and_probation_apart() -> None:
    one = held("a", "pump", opened_s=2_000)
    rows = [
        moved(one, at_s=2_000, previous="normal", state="quarantined"),
        moved(one, at_s=2_600, previous="quarantined", state="probation"),
        moved(one, at_s=2_900, previous="probation", state="normal"),
    ]
    (line,) = report_of(inputs(transitions=rows), fee=0.0).rules
    assert (line.rule, line.blocked_s, line.probation_s) == ("pump", 600.0, 300.0)


def test_what_stood_before_counts_from_the_begin_of_the_report() -> None:
    one = held("a", "pump", opened_s=500)
    rows = [moved(one, at_s=1_100, previous="quarantined", state="normal")]
    assert report_of(inputs(transitions=rows), fee=0.0).rules[0].blocked_s == 100.0


def test_what_stands_without_a_change_counts_until_its_announced_end_or_the_end_of_the_report() -> None:
    standing = [held("a", "pump", opened_s=500, until_s=1_300), held("b", "wash", opened_s=100_000, until_s=200_000)]
    blocked = {line.rule: line.blocked_s for line in report_of(inputs(standing=standing), fee=0.0).rules}
    assert blocked == {"pump": 300.0, "wash": 1_000.0}


def test_an_entry_is_worth_its_price_change_less_two_fees() -> None:
    found = [
        block("a", after=(90.0, 80.0, None)),
        block("b", after=(110.0, 104.0, None)),
        block("c", price=None, after=(1.0, 1.0, 1.0)),
    ]
    quarter, hour, day = report_of(inputs(aftermaths=found), fee=0.01).rules[0].worth
    assert (quarter.known, quarter.mean) == (2, pytest.approx(-0.02))
    assert (hour.avoided, hour.missed) == (pytest.approx(0.22), pytest.approx(0.02))
    assert (day.known, day.mean, day.avoided, day.missed) == (0, None, 0.0, 0.0)


def test_blocks_that_bound_nobody_are_counted_apart() -> None:
    found = [block("a"), block("b", bound=False, target="base:X"), block("c", bound=False)]
    (line,) = report_of(inputs(aftermaths=found), fee=0.0).rules
    assert (line.blocks, line.would_be, line.targets) == (1, 2, 2)


def test_only_rises_make_a_rule_noisy() -> None:
    rises = [{"rule": "wash", "level": "warning", "previous": "normal"}] * 3
    falls = [{"rule": "pump", "level": "normal", "previous": "danger"}] * 9
    report = report_of(inputs(verdicts=[*rises, *falls], sums={("market_seconds", "sim"): 2 * 86_400.0}), fee=0.0)
    assert report.noisiest == "wash"
    assert [(line.rule, line.verdicts, line.per_market_day) for line in report.rules] == [("wash", 3, 1.5)]


def test_bots_and_feeds_are_summed() -> None:
    sums = {
        ("orders.seen", "mine|"): 10.0,
        ("orders.refused", "mine|pump"): 3.0,
        ("orders.refused", "mine|wash"): 1.0,
        ("orders.would_refuse", "other|pump"): 5.0,
        ("orders.would_refuse", "other|"): 1.0,
        ("orders.bypassed", "other|"): 2.0,
        ("market_seconds", "sim"): 7_200.0,
        ("lost_seconds", "sim"): 720.0,
        ("ready_seconds", "sim"): 3_600.0,
    }
    report = report_of(inputs(sums=sums), fee=0.0)
    mine, other = report.bots
    assert (mine.bot, mine.seen, mine.refused, mine.by_rule) == ("mine", 10, 4, {"pump": 3, "wash": 1})
    assert (mine.would_refuse, mine.would_by_rule) == (0, {})
    # In mode observe nothing is refused: what would have been has its rule all the same.
    assert (other.bot, other.bypassed, other.would_refuse, other.would_by_rule, other.by_rule) == ("other", 2, 6, {"pump": 5}, {})
    assert [tuple(feed) for feed in report.feeds] == [("sim", 2.0, pytest.approx(0.9), 0.5)]


HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


def full() -> Inputs:
    sums = {("orders.refused", f"{HOSTILE}|{HOSTILE}"): 1.0, ("market_seconds", HOSTILE): 90_000.0}
    found = [block("a", target=HOSTILE, rule=HOSTILE, after=(90.0, None, None))]
    return inputs(aftermaths=found, sums=sums, verdicts=[{"rule": HOSTILE, "level": "danger", "previous": "normal"}])


def test_text_and_digest_carry_no_control_signs_of_a_name() -> None:
    report = report_of(full(), fee=0.001)
    lines = [*text_of(report), *digest_of(report)]
    assert all(line.isprintable() or not line for line in lines)
    assert any("-10.2 % (1)" in line for line in lines)


def test_the_page_escapes_every_name_and_runs_nothing() -> None:
    page = page_of(report_of(full(), fee=0.001))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_an_empty_report_says_so_in_every_form() -> None:
    report = report_of(inputs(), fee=0.001)
    assert "Rules: none said anything." in list(text_of(report))
    assert next(iter(digest_of(report))).endswith("0 blocks, 0 would-be blocks, 0 s in all")
    assert "No rule said anything." in page_of(report)
    assert document_of(report)["rules"] == []


@given(st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0.01, 1e6)), max_size=20), st.floats(0.0, 0.05))
def test_avoided_less_missed_is_the_sum_of_all_results(prices: list[tuple[float, float]], fee: float) -> None:
    found = [block(str(number), price=before, after=(after, None, None)) for number, (before, after) in enumerate(prices)]
    report = report_of(inputs(aftermaths=found), fee=fee)
    if not prices:
        assert report.rules == ()
        return
    worth = report.rules[0].worth[0]
    assert worth.known == len(prices)
    assert worth.missed >= 0 <= worth.avoided
    assert worth.missed - worth.avoided == pytest.approx(
        worth.mean * worth.known if worth.mean is not None else 0.0, abs=1e-6, rel=1e-9
    )
