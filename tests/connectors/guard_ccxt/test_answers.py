from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard_ccxt.rest.answers import lowered, reading, retry_after_s
from guard_ccxt.rest.quiet import Quiet

NOW_US = 1_700_000_010_000_000  # 22:13:30 UTC
NAMES = (
    *("x-mbx-used-weight-1m", "gw-ratelimit-remaining", "gw-ratelimit-limit", "gw-ratelimit-reset"),
    *("x-gate-ratelimit-requests-remain", "x-gate-ratelimit-limit", "x-gate-ratelimit-reset-timestamp"),
    *("x-bapi-limit", "x-bapi-limit-status", "x-bapi-limit-reset-timestamp", "date", "retry-after"),
)
LIES = st.one_of(st.text(max_size=20), st.integers().map(str), st.floats().map(str), st.just(""))


def read(**headers: str) -> object:
    given_headers = lowered({name.replace("_", "-"): value for name, value in headers.items()})
    return reading(given_headers, host="api.x.com", limit=6000.0, now_us=NOW_US)


def test_each_exchange_is_read_in_its_own_words() -> None:
    assert read(X_MBX_USED_WEIGHT_1M="3100", Date="Tue, 14 Nov 2023 22:13:45 GMT") == (3100.0, 6000.0, 16.0)
    assert read(gw_ratelimit_remaining="500", gw_ratelimit_limit="2000", gw_ratelimit_reset="12000") == (1500.0, 2000.0, 12.0)
    assert read(
        X_Gate_RateLimit_Requests_Remain="10", X_Gate_RateLimit_Limit="200", X_Gate_RateLimit_Reset_Timestamp="1700000015"
    ) == (190.0, 200.0, 5.0)
    assert read(X_Bapi_Limit="50", X_Bapi_Limit_Status="49", X_Bapi_Limit_Reset_Timestamp="1700000012000") == (1.0, 50.0, 2.0)


def test_usdm_has_a_smaller_budget_on_its_own_host() -> None:
    found = reading({"x-mbx-used-weight-1m": "1300"}, host="fapi.binance.com", limit=6000.0, now_us=NOW_US)
    assert found is not None
    assert (found.used, found.limit) == (1300.0, 2400.0)


@pytest.mark.parametrize("text", ["-5", "nan", "inf", "1e99", "many", "", "99999999999"])
def test_a_use_that_cannot_be_is_no_reading(text: str) -> None:
    assert read(x_mbx_used_weight_1m=text) is None


def test_more_left_than_there_is_is_no_reading() -> None:
    assert read(gw_ratelimit_remaining="2001", gw_ratelimit_limit="2000") is None
    assert read(gw_ratelimit_remaining="0", gw_ratelimit_limit="0") is None
    assert read(gw_ratelimit_remaining="5") is None


@given(st.dictionaries(st.sampled_from(NAMES), LIES), st.text(max_size=50))
def test_headers_that_lie_are_told_in_numbers_that_can_be(headers: dict[str, str], body: str) -> None:
    found = reading(headers, host="", limit=6000.0, now_us=NOW_US)
    if found is not None:
        assert 0 <= found.used <= 1e6
        assert found.limit > 0
        assert 1.0 <= found.stands_s <= 61.0
    quiet_s = retry_after_s(headers, body, now_us=NOW_US)
    assert quiet_s is None or quiet_s >= 0
    quiet = Quiet(stop_at=0.5)
    quiet.refuse(429, quiet_s, NOW_US)
    assert 0 <= quiet.left_s(NOW_US) <= 600


def test_retry_after_is_seconds_or_a_date_or_the_end_of_a_ban() -> None:
    assert retry_after_s({"retry-after": "7"}, "", now_us=NOW_US) == 7.0
    date = "Tue, 14 Nov 2023 22:14:30 GMT"
    assert retry_after_s({"retry-after": date}, "", now_us=NOW_US) == 60.0
    # by the exchange's clock, which is 20 s late
    assert retry_after_s({"retry-after": date, "date": "Tue, 14 Nov 2023 22:13:10 GMT"}, "", now_us=NOW_US) == 80.0
    assert retry_after_s({"retry-after": "Mon, 13 Nov 2023 22:14:30 GMT"}, "", now_us=NOW_US) == 0.0
    assert retry_after_s({}, '{"code":-1003,"msg":"IP banned until 1700000040000."}', now_us=NOW_US) == 30.0
    assert retry_after_s({"retry-after": "soon"}, "", now_us=NOW_US) is None
    assert retry_after_s({}, "busy", now_us=NOW_US) is None


def test_refusals_in_a_row_double_the_pause_and_are_forgiven_after_ten_quiet_minutes() -> None:
    quiet, now_us = Quiet(stop_at=0.5), NOW_US
    pauses = []
    for _ in range(7):
        assert quiet.refuse(429, 10.0, now_us)
        assert not quiet.refuse(429, 1.0, now_us + 1)  # asked for before the pause
        pauses.append(quiet.left_s(now_us))
        now_us += int(quiet.left_s(now_us) * 1e6)
    assert pauses == [10, 20, 40, 80, 160, 320, 600]
    now_us += 601_000_000
    quiet.refuse(429, None, now_us)
    assert quiet.left_s(now_us) == 30.0


def test_a_ban_lasts_as_it_says_and_three_days_at_most() -> None:
    quiet = Quiet(stop_at=0.5)
    quiet.refuse(418, 1800.0, NOW_US)
    assert (quiet.left_s(NOW_US), quiet.why(NOW_US), quiet.bans) == (1800.0, "banned (418)", 1)
    quiet.refuse(418, 1e9, NOW_US)
    assert quiet.left_s(NOW_US) == 3 * 86_400.0


def test_a_429_during_a_ban_does_not_shorten_it() -> None:
    quiet = Quiet(stop_at=0.5)
    quiet.refuse(418, 1800.0, NOW_US)
    quiet.refuse(429, 5.0, NOW_US)
    assert quiet.left_s(NOW_US) == 1800.0
