"""Freqtrade's list: what stands in it, that every symbol is escaped, and that no error can be read as an empty list."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from client.images import MINUTE, START_US, image, quarantine, view
from hypothesis import given
from hypothesis import strategies as st

from guard.api.pairlist import pairlist
from guard.client.payload import decode, encode
from guard.model import Block, Mode, TargetKind
from guard.model.bot import BotPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.client.payload import Snapshot
    from guard.model import Image


def snapshot(state: Image) -> Snapshot:
    return decode(encode(state, epoch=1, seq=1, durable=True, wall_us=START_US, boot_ns=0, boot_id=""))


def pairs(state: Image, *, mode: str = "blacklist", now_us: int = START_US, **words: Any) -> list[str]:  # noqa: ANN401 - handed on
    status, kind, body = pairlist(snapshot(state), "sim", mode=mode, now_us=now_us, **words)
    assert (status, kind) == (200, "application/json")
    found: list[str] = json.loads(body)["pairs"]
    return found


def stopped(entries: Iterable[str], markets: Iterable[str]) -> set[str]:
    """Return which markets a bot drops: it matches whole symbols, small and capital letters alike."""
    return {market for market in markets for entry in entries if re.fullmatch(entry, market, re.IGNORECASE)}


def test_a_quarantined_market_is_on_the_blacklist_and_off_the_whitelist() -> None:
    state = image(quarantine())
    assert pairs(state) == [re.escape("X/USDT")]
    assert pairs(state, mode="whitelist") == [re.escape("Y/USDT")]


def test_a_block_that_ended_is_over() -> None:
    assert pairs(image(quarantine()), now_us=START_US + 31 * MINUTE) == []


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ALERT])
def test_below_enforce_nothing_is_stopped(mode: Mode) -> None:
    state = image(quarantine(), mode=mode)
    assert pairs(state) == []
    assert len(pairs(state, mode="whitelist")) == 2


def test_a_bypass_stops_nothing() -> None:
    wide = quarantine("sim", kind=TargetKind.EXCHANGE)
    assert pairs(image(quarantine(), wide), is_bypassed=True) == []


def test_probation_cannot_be_said_by_a_list() -> None:
    assert pairs(image(quarantine(block=Block.SHRINK))) == []


def test_stale_data_is_stopped_and_a_warming_market_is_not() -> None:
    state = image(markets={"sim:X/USDT": view("stale"), "sim:Y/USDT": view("warming"), "sim:Z/USDT": view()})
    assert pairs(state) == [re.escape("X/USDT")]
    assert pairs(state, mode="whitelist") == [re.escape("Y/USDT"), re.escape("Z/USDT")]


def test_each_bot_has_its_own_policy() -> None:
    state = image(markets={"sim:X/USDT": view("stale")}, on_unknown={"brave": {"feed_stale": True}})
    assert pairs(state, bot="brave") == []
    assert pairs(state, bot="other") == [re.escape("X/USDT")]


def test_a_blocked_asset_stops_its_markets_that_nobody_watches() -> None:
    entries = pairs(image(quarantine("X", kind=TargetKind.BASE)))
    markets = ["X/USDT", "X/USDT:USDT", "X/BTC", "1000X/USDT:USDT", "XX/USDT", "Y/USDT", "AX/USDT", "XRP/USDT"]
    assert stopped(entries, markets) == {"X/USDT", "X/USDT:USDT", "X/BTC", "1000X/USDT:USDT"}


def test_a_blocked_asset_stops_its_other_names_as_far_as_they_are_known() -> None:
    state = image(quarantine("BEAM", kind=TargetKind.BASE))._replace(
        aliases={"sim:BEAMX": "BEAM", "other:BEAMY": "BEAM", "B": "BEAM"}
    )
    markets = ["BEAM/USDT", "BEAMX/USDT", "BEAMY/USDT", "B/USDT", "kBEAM/USDC", "1MBEAM/USDT", "BE/USDT"]
    assert stopped(pairs(state), markets) == {"BEAM/USDT", "BEAMX/USDT", "B/USDT", "kBEAM/USDC", "1MBEAM/USDT"}
    assert stopped(pairs(image(quarantine("PEPE", kind=TargetKind.BASE))), ["KPEPE/USDT", "DODOX/USDT"]) == {"KPEPE/USDT"}


def test_a_bot_is_told_what_its_own_policy_refuses() -> None:
    policies = {
        "*": BotPolicy(),
        "loose": BotPolicy(mode=Mode.OBSERVE),
        "other_rules": BotPolicy(rules=("spoofing",)),
        "critical_only": BotPolicy(min_level="critical"),
        "seller": BotPolicy(sides=("sell",)),
        "elsewhere": BotPolicy(exchanges=("kraken",)),
    }
    for held in (quarantine(), quarantine("X", kind=TargetKind.BASE)):
        found = {bot: bool(stopped(pairs(image(held, bots=policies), bot=bot), ["X/USDT"])) for bot in policies}
        assert found == {bot: bot == "*" for bot in policies}


def test_a_blocked_symbol_of_all_exchanges_and_a_blocked_exchange() -> None:
    symbols = ["N/USDT", "1000N/USDT", "N/USDT:USDT", "N/USD", "NN/USDT"]
    assert stopped(pairs(image(quarantine("N/USDT", kind=TargetKind.SYMBOL))), symbols) == {"N/USDT", "1000N/USDT"}
    assert ".*" in pairs(image(quarantine("sim", kind=TargetKind.EXCHANGE)))
    assert pairs(image(quarantine("other", kind=TargetKind.EXCHANGE))) == []
    assert pairs(image(quarantine("other:X/USDT"))) == []


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/:"), min_size=1, max_size=12)


@given(st.sets(NAMES, min_size=2))
def test_any_name_becomes_a_pattern_of_itself_alone(bases: set[str]) -> None:
    symbols = sorted(f"{base}/USDT" for base in bases)
    held = symbols[0]
    state = image(quarantine(f"sim:{held}"), markets={f"sim:{symbol}": view() for symbol in symbols})
    alike = {symbol for symbol in symbols if re.fullmatch(re.escape(held), symbol, re.IGNORECASE)}
    assert held in stopped(pairs(state), symbols)
    assert stopped(pairs(state), symbols) == alike
    assert set(symbols) - {held} <= stopped(pairs(state, mode="whitelist"), symbols)


@pytest.mark.parametrize(
    ("state", "words", "status", "says"),
    [
        (None, {}, 503, "published nothing"),
        (image(), {"problem": "no heartbeat of guard for 3 s"}, 503, "no heartbeat"),
        (image(is_running=False), {}, 503, "stopped"),
        (image(), {"mode": "graylist"}, 400, "blacklist, whitelist"),
        (image(), {"exchange": "kraken"}, 404, "watches sim"),
        (image(markets={}), {}, 404, "watches nothing"),
        (image(markets={})._replace(unreached={"sim": view("stale")}), {}, 503, "not reached"),
    ],
)
def test_errors_are_plain_text_and_no_list(state: Image | None, words: dict[str, Any], status: int, says: str) -> None:
    given = {"exchange": "sim", "now_us": START_US, **words}
    found, kind, body = pairlist(None if state is None else snapshot(state), **given)
    assert (found, kind) == (status, "text/plain")
    assert says in body.decode()
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(body)
