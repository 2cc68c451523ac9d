from __future__ import annotations

from typing import Any

import ccxt.pro
import pytest

from guard_ccxt.connections.limits import limits_of
from guard_ccxt.fast.registry import DECODERS
from guard_ccxt.markets.families import FAMILIES, family_of
from guard_ccxt.markets.prints import prints_of
from guard_ccxt.options import Options
from guard_ccxt.rest.quota import quota_of

MEMBERS = [(name, member) for name, members in FAMILIES.items() for member in members]


@pytest.mark.parametrize(("name", "member"), MEMBERS)
def test_member_is_an_exchange_of_ccxt_and_is_treated_like_its_family(name: str, member: str) -> None:
    made: Any = getattr(ccxt.pro, member)()
    assert member in ccxt.pro.exchanges
    assert family_of(member) == name
    assert limits_of(Options(id=member)) == limits_of(Options(id=name))
    assert prints_of(member) == prints_of(name)
    if name != "binance":  # whose markets have budgets of their own
        assert quota_of(made) == quota_of(getattr(ccxt.pro, name)())


def test_every_decoder_can_be_loaded_and_only_coin_margined_contracts_of_a_family_have_none() -> None:
    assert {member for _, member in MEMBERS} - set(DECODERS) == {"binancecoinm"}
