"""What lists say, and what is refused of them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dsl.list_models import ListSettings
from guard.runtime.list_formats import ListUnreadable, Reading, read_list
from guard.runtime.pair_patterns import pair_patterns

NOW_US = 1_700_000_000_000_000


def read(text: str, form: str = "lines", **more: object) -> Reading:
    settings = ListSettings.model_validate({"path": "x", "format": form, **more})
    return read_list(text.encode(), settings, now_us=NOW_US, symbols=["ADAUP/USDT", "ADA/USDT"], exchanges=["sim", "okx"])


def targets(reading: Reading) -> list[str]:
    return [str(entry.target) for entry in reading.entries]


def block(**more: object) -> dict[str, Any]:
    return {
        "id": "1",
        "kind": "base",
        "name": "X",
        "target": "base:X",
        "state": "quarantined",
        "block": "entries",
        "rule": "pump_dump",
        "reason": "up 9 %",
        "until_us": NOW_US + 1,
        "max_fraction": 0.25,
        **more,
    }


def blocklist(*blocks: dict[str, Any], **more: object) -> str:
    return json.dumps({"epoch": 1, "seq": 2, "running": True, "wall_us": NOW_US, "blocks": blocks, **more})


def test_lines_name_every_kind_of_target() -> None:
    found = read("# mine\nsim:X/USDT  # delisted\nY/USDT\nbase:Z\nexchange:okx\nokx:BTC/USDT:USDT\n\nETH/USDT:USDT\n")
    assert targets(found) == ["sim:X/USDT", "symbol:Y/USDT", "base:Z", "exchange:okx", "okx:BTC/USDT:USDT", "symbol:ETH/USDT:USDT"]
    assert found.entries[0].reason == "delisted"
    assert not found.bad


def test_symbols_are_of_the_exchange_that_the_list_names() -> None:
    assert targets(read("Y/USDT\nbase:Z", exchange="sim")) == ["sim:Y/USDT", "base:Z"]


def test_an_exchange_that_is_not_watched_is_passed_over() -> None:
    found = read("kraken:X/USDT\nsim:X/USDT")
    assert targets(found) == ["sim:X/USDT"]
    assert "kraken" in found.passed_over[0]


def test_a_row_that_is_not_understood_is_named() -> None:
    found = read("X/USDT\nwhat is this\n")
    assert targets(found) == ["symbol:X/USDT"]
    assert "what is this" in found.bad[0]


@pytest.mark.parametrize(
    ("text", "form", "told"),
    [
        ("<html><body>503\n</body></html>", "lines", "not understood"),
        ("{", "json", "no JSON"),
        ("[1e999, NaN]", "json", "no number"),
        ('{"rows": []}', "json", "pairs"),
        ("[" * 100_000, "json", "no JSON"),
        ("[]", "guard", "no blocklist"),
        (blocklist(running=False), "guard", "stopped"),
        (blocklist(wall_us=NOW_US - 61_000_000), "guard", "alive"),
        ("A/B\nC/D\nE/F", "lines", "more than 2 entries"),
    ],
)
def test_what_is_no_list_is_refused(text: str, form: str, told: str) -> None:
    with pytest.raises(ListUnreadable, match=told):
        read(text, form, max_rows=2)


def test_json_is_an_array_or_freqtrades_remote_list() -> None:
    assert targets(read('["X/USDT", "base:Y"]', "json")) == ["symbol:X/USDT", "base:Y"]
    assert targets(read('{"pairs": ["X/USDT"], "refresh_period": 60}', "json")) == ["symbol:X/USDT"]


def test_another_guards_blocks_keep_their_kind_and_lists_of_it_are_left_out() -> None:
    found = read(blocklist(block(), block(name="Y", target="base:Y", rule="list:theirs"), block(name="Z", until_us=1)), "guard")
    assert targets(found) == ["base:X"]
    assert found.entries[0].reason == "pump_dump: up 9 %"
    assert read(blocklist(block(block="shrink")), "guard").entries[0].block == "shrink"
    assert read(blocklist(block()), "guard", block="shrink").entries[0].block == "shrink"


def test_an_empty_blocklist_is_a_reading() -> None:
    assert read(blocklist(), "guard") == Reading(())


def test_a_freqtrade_blacklist_is_expanded_without_regular_expressions() -> None:
    text = '{"exchange": {"pair_blacklist": ["(BNB|XRP)/.*", "DOGE/USDT", ".*UP/USDT", "A+/USDT", "[AB]/USDT"],},} // mine'
    found = read(text, "freqtrade")
    assert targets(found) == ["base:BNB", "base:XRP", "symbol:DOGE/USDT", "symbol:ADAUP/USDT"]
    assert len(found.passed_over) == 2
    assert not found.bad


@pytest.mark.parametrize("text", ["(a+)+$", "(A|(B))/X", "(A|B)*", "[AB]", "A{2}", "A?", "(A", "A\\d", ".", "A|B", "("])
def test_other_regular_expressions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        pair_patterns(text)


def test_a_pattern_takes_no_time_that_explodes() -> None:
    (pattern,) = pair_patterns(".*A" * 100)
    began = time.process_time()
    assert not pattern.matches("A" * 99 + "B" * 10_000)
    assert time.process_time() - began < 0.1
    with pytest.raises(ValueError, match="more than 200"):
        pair_patterns("(A|B)" * 30)


@given(st.binary(max_size=300), st.sampled_from(["lines", "json", "guard", "freqtrade"]))
def test_any_bytes_are_read_or_refused(raw: bytes, form: str) -> None:
    settings = ListSettings.model_validate({"path": "x", "format": form})
    try:
        found = read_list(raw, settings, now_us=NOW_US, exchanges=["sim"])
    except ListUnreadable:
        return
    assert all(str(entry.target).isprintable() for entry in found.entries)


@given(
    st.lists(st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=2)), max_size=9)
)
def test_any_rows_are_read_or_refused(rows: list[Any]) -> None:
    for form in ("json", "freqtrade"):
        try:
            read(json.dumps(rows), form)
        except ListUnreadable:
            continue
